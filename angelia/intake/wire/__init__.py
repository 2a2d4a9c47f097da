"""HTTP of the intake below its framework, for the busiest requests.

Enter at `short_way.py`, which `angelia intake serve` gives to uvicorn. Reads requests from connections and
writes their answers there; what a request means is decided in `api.py`, for both ways alike.
"""

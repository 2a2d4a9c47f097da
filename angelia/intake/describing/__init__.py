"""The intake's OpenAPI document in other forms: the Python client.

Enter at `client_code.py`. Reads the application's document; writes `angelia/client/intake_client.py`.
"""

"""Events from a Kafka topic as another source of `user_events`, each message once.

Reads a topic by the reader it is given (`spark_jobs/running/kafka_topic.py` is Spark's), writes commits of
`user_events`. Enter at `taking.py`: it reads from where the lake says it stopped up to the topic's end.
`messages` makes rows of messages, `offsets` keeps how far the topic was read in the commit that holds the
rows, `source` is the part of the mapping that names the topic.
"""

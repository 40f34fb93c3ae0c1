"""What can be asked for: the intents of each domain and their phrases, in text files.

`assistant.language` makes utterances of them.
"""

"""What can be asked for: the intents of each domain and the phrases that express them.

Phrases are text; how an utterance is made from them is `assistant.language`.
"""

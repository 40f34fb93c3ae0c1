"""Phrasings: running the conversation itself, and what the assistant cannot do."""

TEXT = """
# Stop dialogue 5
stop
stop it
stop that
be quiet
shush
that's enough
okay stop
please stop
enough
stop now
stop playing
shut up
turn it off
silence
+stop
+i said stop

# OrderFood other 1- dish:dish!
order me a {dish}
order a {dish}
make me a {dish}
get me a {dish} delivered
can you order {dish} for dinner
i'd like to order a {dish}
order {dish} from somewhere nearby
have a {dish} sent to my house
bring me a {dish}
cook me a {dish}
i want a {dish} delivered to my door
could you make a {dish} for me
order some {dish} for tonight
~i want {dish}
~get me {dish}
+and a {dish}
"""

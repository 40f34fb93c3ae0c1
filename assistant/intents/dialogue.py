"""Phrasings: running the conversation itself, small talk, and what the assistant cannot do."""

TEXT = """
# Yes dialogue 1.5
yes
yeah
yep
sure
yes please
that's right
okay
yes do that
correct
go ahead
exactly
of course
yes that one
sounds good
do it

# No dialogue 1.5
no
nope
no thanks
no thank you
not that one
that's wrong
no that's not it
don't
no not now
wrong one
nah
never
not really
that's not what i wanted
no i don't want that

# Stop dialogue 4
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
stop talking
shut up
silence
hush now
~turn it off
~stop playing
~off
+stop
+i said stop

# Cancel dialogue 2
cancel
cancel that
never mind
forget it
forget about it
don't do that
cancel please
i changed my mind
no cancel that
leave it
undo that
scratch that
no forget it
~cancel it
~no don't
+no never mind
+oh forget it

# GoBack dialogue 1
go back
back
back please
go back one
take me back
go back to the menu
previous page
one back
return
go to the start
back to the beginning
go home
show me the last screen
~previous
~go back again
+back again
+further back

# Repeat dialogue 1.5
repeat that
say that again
what did you say
pardon
sorry what
repeat please
can you repeat that
i didn't hear you
come again
what was that
once more please
say it again slowly
tell me again
~again
~what
+again
+one more time

# Help dialogue 0.8
help
what can you do
help me
what can i say
how does this work
what can i ask you
i need help
what are you able to do
give me some examples
how do i use you
tell me what you can do
what do you know
can you help me with something
~what now
~how
+what else
+anything else

# TellJoke chat 2
tell me a joke
say something funny
make me laugh
do you know any jokes
tell us a joke
joke please
another joke
got any good jokes
tell me a funny story
i'm bored tell me something
tell the kids a joke
sing me a song
surprise me
~something funny
~tell me something
+another one
+one more
+a better one

# Greeting chat 1.5
hello
good morning
good night
how are you
hi there
thank you
thanks
thanks a lot
good evening
what's your name
who are you
you're great
how was your day
~good
~nice one
~cheers
+thank you
+thanks

# OrderFood other 1.5- dish:dish!
order me a {dish}
order a {dish}
make me a {dish}
get me a {dish} delivered
can you order {dish} for dinner
i'd like to order a {dish}
order {dish} for <takeaway>
order {dish} from somewhere nearby
have a {dish} sent to my house
bring me a {dish}
cook me a {dish}
i want a {dish} delivered to my door
could you make a {dish} for me
order some {dish} for tonight
~i want {dish}
~get me {dish}
~make {dish}
+and a {dish}
+or a {dish}

# BookTravel other 1.3- town:town
book me a <cab>
get me a <cab> to {town}
call me a <cab>
book a flight to {town}
i need a train ticket to {town}
find me a hotel in {town} and book it
book a table for two
buy me a plane ticket to {town}
reserve a room in {town}
can you book a holiday in {town}
get me tickets for the concert
order a <cab> to {town}
book a bus to {town} for me
~to {town}
~get me to {town}
~a ticket to {town}
+and one back from {town}
+to {town}

# SendMoney other 0.9- contact:contact
send {contact} twenty <money>
pay my electricity bill
transfer money to {contact}
pay {contact} back
how much money is in my account
send some money to {contact}
pay the rent
what's my bank balance
give {contact} fifty <money>
can you pay {contact} for lunch
wire money to {contact}
lend {contact} ten <money>
check my bank account
~pay it
~pay {contact}
~send it to {contact}
+and {contact}
+pay {contact} too

# DoChore other 1.2- chore:chore!*
{chore}
can you {chore}
could you {chore} for me
i need you to {chore}
go and {chore}
would you {chore} now
i want you to {chore}
are you able to {chore}
somebody has to {chore}
will you {chore} tonight
help me {chore}
it's time to {chore}
you should {chore}
~just {chore}
~do it {chore}
+and {chore}
+then {chore}

# LookAtThis other 0.8-
take a picture
take a photo of me
what am i looking at
scan this page
print my document
translate this letter
record a video
what colour is this
show me my photos on the fridge
read this page to me
who is at the window
what does this look like to you
write my essay
~what is this
~look at this
+and this one
+now this
"""

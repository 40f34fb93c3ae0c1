"""Phrasings: calls and messages, places and ways."""

TEXT = """
# CallContact calls 5 contact:contact!
call {contact}
<ring> {contact}
give {contact} a <ring>
phone {contact}
can you call {contact}
call {contact} on the <mobile>
i want to talk to {contact}
get {contact} on the phone
make a call to {contact}
dial {contact}
please call {contact} back
i'd like to speak with {contact}
call {contact} on speaker
start a call with {contact}
make a phone call
~{contact}
~get {contact}
~try {contact}
+no {contact}
+call {contact} instead
+i said {contact}
+and {contact}
+{contact}

# SendMessage calls 4 contact:contact!+ message:message!*
send a message to {contact}
text {contact} {message}
tell {contact} {message}
send {contact} a message saying {message}
<text> {contact} that {message}
message {contact} {message}
let {contact} know [that|] {message}
send a text to {contact} saying {message}
can you tell {contact} that {message}
write to {contact} {message}
drop {contact} a line saying {message}
say {message} to {contact}
send {contact} {message}
reply to {contact} {message}
~{contact} {message}
~{message}
~tell {contact}
+{message}
+and say {message}
+and tell {contact} {message}
+say {message}

# ReadMessages calls 2.5 contact:contact+
read my messages
do i have any messages
do i have new messages from {contact}
what did {contact} say
read the message from {contact}
any messages
what's the last message from {contact}
read my texts
check my messages
did {contact} write
show me my messages
has {contact} replied
play my voicemail
who texted me
~messages
~{contact}
~read it
+and from {contact}
+what about {contact}
+the next one

# Announce calls 1 message:message!*
announce {message}
tell everyone {message}
announce to everybody that {message}
broadcast {message}
make an announcement {message}
tell the whole house {message}
tell the kids {message}
let everyone know [that|] {message}
say {message} on all the speakers
announce in every room {message}
shout to everybody {message}
send an announcement saying {message}
can you announce that {message}
~say {message}
~{message}
~tell them {message}
+and {message}
+also {message}
+say {message}

# FindPlace places 4 category:category!+ town:town+
find a {category} near me
where's the nearest {category}
is there a {category} nearby
find a {category} in {town}
i'm looking for a {category}
what's a good {category} around here
find me a {category}
any {category} open now
which {category} is the closest
show me a {category} in {town}
recommend a {category} in {town}
is there a {category} around {town}
where can i find a {category}
search for a {category} in {town}
~{category}
~a {category}
~{category} in {town}
+and a {category}
+what about in {town}
+is there one in {town}
+a {category} instead

# PlaceHours places 2.5 place:place!+ date:date+
when does {place} open
when does {place} close
is {place} open
is {place} open {date}
what time does {place} close {date}
how late is {place} open
opening hours of {place}
until when is {place} open {date}
is {place} still open
are they open at {place} {date}
check if {place} is open {date}
what are the hours for {place}
does {place} open {date}
~{place}
~what about {place}
~open {place}
+and {date}
+what about {date}
+and {place}

# CallPlace places 1.5 place:place!+
call {place} for me
phone {place} and ask for a table
<ring> {place} [the shop|]
call the number of {place}
what's the phone number of {place}
get {place} on the line
what's the number for {place}
give {place} a <ring>
i need to call {place}
dial the number for {place}
connect me to {place}
can you call {place} please
phone number of {place}
~call {place}
~get {place}
~{place}
+and call {place}
+call them
+{place} instead

# GetDirections places 3 place:place|town!
how do i get to {place}
directions to {place}
take me to {place}
navigate to {place}
how far is {place}
how far is it to {place}
how long does it take to get to {place}
what's the traffic like to {place}
give me directions to {place}
which way is {place}
where is {place}
what's the quickest way to {place}
start navigation to {place}
drive to {place}
how long is the drive to {place}
~{place}
~go to {place}
~to {place}
+and to {place}
+what about {place}
+how far is {place}

# GetTraffic places 1.5
how's the traffic
what's the traffic like
is there much traffic
how long is my commute
traffic report
is there a jam on the way to work
how's my drive to work
are there any accidents on the road
what's the traffic like to work
should i leave early for work
when should i leave for work
how bad is the traffic [today|]
any delays this morning
~how long will it take
~how is it out there
~traffic
+and on the way home
+what about tomorrow
+any better now
"""

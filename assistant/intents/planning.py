"""Phrasings: alarms, timers, reminders, calendar, lists."""

TEXT = """
# SetAlarm clock 6 time:time!+ date:date+
set an alarm for {time}
wake me [up|] at {time}
wake me up at {time} {date}
set the alarm for {time} {date}
alarm at {time}
set my alarm to {time}
can you wake me at {time}
i need to get up at {time} {date}
put an alarm on for {time}
get me up at {time}
new alarm for {time} {date}
alarm for {time} please
make sure i'm up by {time}
set an alarm
i have to be up at {time}
~set it for {time}
~{time}
~{time} {date}
+for {time}
+{time}
+and another for {time}
+make it {time}
+and {date}
+no {time}

# CancelAlarm clock 2.5 time:time
cancel the alarm
cancel my {time} alarm
turn off the alarm
turn off my alarm for {time}
delete the {time} alarm
switch the alarm off
i don't need the alarm [any more|]
cancel all my alarms
remove the alarm at {time}
no alarm tomorrow
get rid of the {time} alarm
stop the alarm
can you cancel the alarm for {time}
~cancel it
~turn it off
~cancel
+and the {time} one
+the {time} one too
+all of them

# SetTimer clock 8 duration:duration!
set a timer for {duration}
timer for {duration}
{duration} timer
start a {duration} timer
set a {duration} timer
can you set a timer for {duration}
time {duration} for me
put {duration} on the timer
i need a timer for {duration}
give me {duration} on the clock
start timing {duration}
new timer {duration}
count down {duration}
tell me when {duration} [are|is] up
set a timer
~set it for {duration}
~wake me in {duration}
~{duration}
+{duration}
+another one for {duration}
+make it {duration}
+and one for {duration}

# TimeLeft clock 2.5
how much time is left
how long is left on the timer
how much time is left on the timer
when does the timer go off
check the timer
how many minutes are left
what's left on the timer
is the timer nearly done
how's my timer doing
timer status
time left on the timer
how long until the timer goes off
what time will the timer end
~how much is left
~how long is left
~how much longer
~is it ready
+and now
+how long now
+what about now

# CancelTimer clock 2
cancel the timer
stop the timer
turn off the timer
delete the timer
end the timer
i don't need the timer [any more|]
can you stop that timer
cancel my timer please
clear the timer
kill the timer
get rid of the timer
forget the timer
timer off
~cancel it
~stop it
~cancel
+and the other one
+the other timer too
+all of them

# GetTime clock 4 town:town+
what time is it
what's the time
what time is it in {town}
what's the time in {town}
time please
tell me the time
do you have the time
current time in {town}
what is the local time in {town}
how late is it
what time is it now in {town}
the time in {town}
can you tell me what time it is
what day is it
~time
~{town}
~time in {town}
+and in {town}
+what about {town}
+and now

# SetReminder reminders 5 task:reminder!*+ time:time+ date:date+
remind me to {task}
remind me to {task} at {time}
remind me to {task} {date}
remind me {date} to {task}
remind me at {time} to {task}
set a reminder to {task} at {time}
set a reminder to {task}
don't let me forget to {task}
can you remind me to {task} {date}
i need to {task} {date} remind me
reminder to {task} {date}
make a note to {task}
please remind me {date} at {time} to {task}
i have to {task} at {time} remind me
set a reminder
~{task}
~to {task}
~{task} {date}
+and to {task}
+also {task}
+to {task}
+at {time}
+{date}

# GetReminders reminders 1.5 date:date
what are my reminders
what reminders do i have {date}
do i have any reminders
read my reminders
what did i want to do {date}
what do i have to do {date}
list my reminders for {date}
what was i supposed to do {date}
any reminders {date}
tell me my reminders
show my reminders
did i forget anything {date}
read me the reminders for {date}
~anything {date}
~what's on {date}
~what do i have
+and {date}
+what about {date}
+any for {date}

# AddEvent calendar 3 event:event!*+ date:date+ time:time
add {event} to my calendar
add {event} to my <schedule> {date}
put {event} in my <schedule> for {date}
schedule {event} {date} at {time}
create an event {event} {date}
put {event} on the calendar {date} at {time}
new event {event} at {time}
i have {event} {date} put it in the calendar
make an appointment for {event} {date}
book {event} in my calendar at {time} {date}
calendar add {event}
schedule {event} for {date}
can you add {event} {date} to the calendar
save the date {event} {date}
~{event} {date}
~add {event}
~{event} {date} at {time}
+and {event} {date}
+{date} at {time}
+also {event}
+at {time}

# GetEvents calendar 3.5 date:date+
what's on my calendar
what's on my <schedule> {date}
what do i have {date}
am i busy {date}
am i free {date}
do i have anything {date}
what meetings do i have {date}
when is my next meeting
what's next on my calendar
read my <schedule> for {date}
what are my appointments {date}
show me my calendar {date}
what's happening {date}
my agenda for {date}
~what's on {date}
~anything {date}
~what do i have
+and {date}
+what about {date}
+and after that

# CancelEvent calendar 1.2 event:event!*+ date:date+
cancel {event} {date}
cancel my {event}
delete {event} from my calendar
remove {event} from my <schedule>
take {event} off the calendar
i can't make {event} {date} cancel it
clear {event} from {date}
call off {event} {date}
drop {event} from my calendar
i'm not going to {event} take it out
please cancel {event} {date}
get rid of {event} {date}
can you cancel {event}
~cancel {event}
~delete {event}
~no {event} {date}
+and {event}
+also cancel {event}
+and the one {date}

# AddItem lists 6 item:food! list:list+
add {item} to my <shopping> list
add {item} to the list
put {item} on the list
put {item} on my {list}
add {item} to the {list}
we need {item}
we're out of {item}
i need to buy {item}
can you put {item} on my <shopping> list
{item} on the list please
add some {item} to my {list}
buy {item}
don't forget {item} on the <shopping> list
write down {item} on the {list}
get {item} put it on the list
~add {item}
~{item}
~some {item}
+and {item}
+{item} too
+also {item}
+and some {item}

# RemoveItem lists 2 item:food! list:list+
remove {item} from my <shopping> list
remove {item} from the {list}
take {item} off the list
delete {item} from my {list}
i got the {item} take it off
cross {item} off the list
we don't need {item} any more
take {item} off my <shopping> list
tick {item} off the list
scratch {item} from the list
get {item} off the {list}
no more {item} on the list
i already have {item} remove it
~no {item}
~delete {item}
~not {item}
+and {item}
+{item} too
+also {item}

# ReadList lists 2.5 list:list+
what's on my <shopping> list
read my <shopping> list
what's on the {list}
read me the {list}
what do i need to buy
what do we need from the shop
show me the {list}
what's on my list
tell me what's on my {list}
check my <shopping> list
how many things are on the {list}
is there anything on the {list}
open my {list}
~the list
~read it
~what's on it
~{list}
+and the {list}
+what about the {list}
+and what else
"""

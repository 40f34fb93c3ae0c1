"""Phrasings: alarms, timers, reminders, calendar, lists, calls."""

TEXT = """
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
set a timer
~set it for {duration}
~wake me in {duration}
~{duration}
+{duration}
+another one for {duration}
+make it {duration}
+and one for {duration}
"""

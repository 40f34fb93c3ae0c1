"""Phrasings: lights, heat, oven, appliances, doors."""

TEXT = """
# LightOn home 7 light:light room:room
turn on the {light}
turn the {light} on
switch on the {light}
switch the {light} on
put the {light} on
lights on in the {room}
{light} on
can you turn the {light} on
could you switch on the {light}
put on the {light}
i need the {light} on
light up the {room}
get the {light} on [would you|]
it's dark turn on the {light}
turn on the {room} lights
make the {light} come on
turn on the lights
lights on
~{light}
~on
+and the {light}
+the {light} too
+and the {room}
+turn on the {light} as well
+no the {light}

# LightOff home 6 light:light room:room
turn off the {light}
turn the {light} off
switch off the {light}
switch the {light} off
put the {light} out
lights off in the {room}
{light} off
can you turn the {light} off
could you switch off the {light}
kill the {light}
turn off the {room} lights
turn off all the lights in the {room}
shut off the {light}
i'm going to bed turn off the {light}
did i leave the {light} on turn it off
make it dark in the {room}
turn off the lights
lights out
~turn it off
~off
~{light}
+and the {light}
+the {light} too
+and the {room}
+the {light} off as well
+no the {light}

# DimLight home 2.5 light:light!+ level:percent
dim the {light}
dim the {light} to {level}
set the {light} to {level}
make the {light} dimmer
turn the {light} down to {level}
turn down the {light}
{light} to {level}
brighten the {light}
put the {light} at {level}
can you make the {light} a bit brighter
lower the {light}
change the {light} brightness to {level}
i want the {light} at {level}
the {light} is too bright
~set it to {level}
~make it {level}
~{level}
+to {level}
+a bit more {level}
+and the {light} to {level}

# SwitchOn home 4 appliance:appliance!
turn on the {appliance}
turn the {appliance} on
switch on the {appliance}
switch the {appliance} on
start the {appliance}
{appliance} on
can you turn on the {appliance}
put the {appliance} on
get the {appliance} going
could you start the {appliance} for me
power on the {appliance}
i need the {appliance} on
fire up the {appliance}
is the {appliance} off turn it on
~turn it on
~start it
~{appliance}
+and the {appliance}
+the {appliance} too
+also the {appliance}

# SwitchOff home 3.5 appliance:appliance!
turn off the {appliance}
turn the {appliance} off
switch off the {appliance}
switch the {appliance} off
stop the {appliance}
{appliance} off
can you turn off the {appliance}
shut off the {appliance}
power off the {appliance}
i forgot the {appliance} turn it off
make sure the {appliance} is off
could you shut the {appliance} down
unplug the {appliance}
is the {appliance} still on turn it off
~turn it off
~switch it off
~stop it
+and the {appliance}
+the {appliance} too
+also the {appliance}

# IsItOn home 1.5 appliance:appliance|light!
is the {appliance} on
did i leave the {appliance} on
is the {appliance} still on
did i turn off the {appliance}
check if the {appliance} is on
is the {appliance} off
tell me if the {appliance} is running
has someone left the {appliance} on
what's the {appliance} doing
i think i left the {appliance} on [can you|] check
status of the {appliance}
is the {appliance} running
can you check the {appliance}
~is it on
~is it still on
~did i leave it on
+and the {appliance}
+what about the {appliance}
+how about the {appliance}

# SetThermostat home 4 temperature:temperature! room:room+
set the <heating> to {temperature}
set the temperature to {temperature}
turn the <heating> to {temperature}
make it {temperature} in the {room}
set the {room} to {temperature}
i want the {room} at {temperature}
change the temperature to {temperature}
turn up the <heating> to {temperature}
turn the <heating> down to {temperature}
heat the {room} to {temperature}
put the <heating> on {temperature}
it's cold set it to {temperature}
can you make it {temperature} in here
<heating> {temperature}
~set it to {temperature}
~make it {temperature}
~{temperature}
+make that {temperature}
+{temperature}
+and the {room} to {temperature}

# RoomTemperature home 2 room:room
what is the temperature in the {room}
how warm is it in here
how cold is it in the {room}
what's the temperature in here
what's the temperature inside
how hot is the {room}
{room} temperature
what is the <heating> set to
tell me the temperature in the {room}
what's the <heating> at
is it warm in the {room}
what's the inside temperature
check the temperature in the {room}
how warm is the {room} right now
~what is the temperature
~what's the temperature
~how hot is it
~temperature
~what temperature is it
+and in the {room}
+what about the {room}
+and the {room}

# OvenTemperature home 1.5
what is the temperature of the oven
what's the oven at
how hot is the oven
is the oven hot [yet|]
what temperature is the oven
oven temperature
how hot is the oven now
has the oven reached temperature
is the oven up to temperature
check the oven temperature
tell me the oven temperature
how warm is it in the oven
what temperature has the oven reached
is the oven ready
~what is the temperature
~what's the temperature
~how hot is it
~temperature
~what temperature is it
~how hot is it now
~is it ready
+and now
+what about the oven
+how about now

# SetOven home 2 temperature:oven_temperature!
set the oven to {temperature}
preheat the oven to {temperature}
heat the oven to {temperature}
oven to {temperature}
turn the oven on at {temperature}
turn the oven up to {temperature}
put the oven on {temperature}
can you preheat the oven to {temperature}
oven {temperature}
start the oven at {temperature}
bake at {temperature}
change the oven to {temperature}
warm the oven up to {temperature}
get the oven to {temperature}
~set it to {temperature}
~make it {temperature}
~{temperature}
+make that {temperature}
+to {temperature}
+a bit hotter {temperature}

# LockDoor home 2.5 door:door!
lock the {door}
lock up the {door}
is the {door} locked lock it
make sure the {door} is locked
close the {door}
shut the {door}
can you lock the {door}
i forgot to lock the {door}
please lock the {door} behind me
{door} lock
lock the {door} for the night
secure the {door}
bolt the {door}
~lock it
~close it
~lock up
+and the {door}
+the {door} too
+what about the {door}

# UnlockDoor home 1.5 door:door!
unlock the {door}
open the {door}
can you open the {door}
unlock the {door} for me
let them in unlock the {door}
please open up the {door}
{door} open
i'm outside unlock the {door}
open the {door} my hands are full
unlock my {door}
get the {door}
someone's at the {door} open it
could you unlock the {door} now
~open it
~open up
~unlock it
+and the {door}
+the {door} too
+now the {door}
"""

"""Phrasings: lights, heat, oven, doors."""

TEXT = """
# LightOn home 7 light:light!
turn on the {light}
turn the {light} on
switch on the {light}
switch the {light} on
put the {light} on
lights on in the {light}
{light} on
can you turn the {light} on
could you switch on the {light}
please put on the {light}
i need the {light} on
light up the {light}
get the {light} on
it's dark turn on the {light}
make the {light} come on
+and the {light}
+the {light} too
+turn on the {light} as well
+no the {light}

# OvenTemperature home 1.2
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
~what is the temperature
~what's the temperature
~how hot is it
~temperature
~what temperature is it
~how hot is it now
+and now
+what about the oven
+how about now
"""

"""Phrasings: weather, news, knowledge, places."""

TEXT = """
# GetWeather weather 8 town:town date:date
what's the weather
what's the weather like
what's the weather in {town}
what's the weather like in {town} {date}
how's the weather {date}
weather {date}
weather in {town}
give me the forecast for {date}
tell me the weather for {town}
what's the forecast for {town} {date}
what will the weather be like {date}
what's it like outside
what is the weather going to be {date} in {town}
is the weather any good in {town}
forecast please
+and {date}
+and in {town}
+what about {date}
+what about {town}
+how about {town} {date}
+{date}
"""

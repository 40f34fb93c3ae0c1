"""Phrasings: weather, news, sport, knowledge."""

TEXT = """
# GetWeather weather 8 town:town+ date:date+
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
how's it looking in {town} {date}
~what's it like
~how is it in {town}
~{town}
+and {date}
+and in {town}
+what about {date}
+what about {town}
+how about {town} {date}
+{date}

# GetTemperature weather 4 town:town+ date:date+
what's the temperature outside
how hot is it outside
how cold is it going to be {date}
what's the temperature in {town}
how cold is it in {town}
how hot will it get {date}
what temperature is it in {town} [right now|]
temperature in {town}
what will the temperature be {date} in {town}
will it be <hot> {date}
is it cold outside
how warm is it in {town} {date}
what's the high {date}
do i need a coat {date}
~what is the temperature
~what's the temperature
~how hot is it
~how cold is it
~temperature
~what temperature is it
+and {date}
+and in {town}
+what about {town}
+what about {date}

# WillItRain weather 4 town:town+ date:date+
will it <rain> {date}
is it going to rain {date}
is it raining in {town}
do i need an umbrella {date}
will it rain in {town} {date}
what's the chance of rain {date}
is it going to <rain> in {town}
any rain {date}
is it raining
should i take an umbrella
when will it stop raining
will there be snow in {town} {date}
is rain expected {date}
will it stay dry {date}
~umbrella
~rain {date}
~is it wet outside
+and {date}
+and in {town}
+what about {date}
+how about {town}

# GetSunset weather 1 town:town+ date:date+
when does the sun set
what time is sunset
when is sunset {date}
when does the sun rise {date}
what time is sunrise in {town}
sunset {date}
when does it get dark
how long is it light {date}
what time will the sun go down in {town}
sunrise time please
when will it be light {date}
at what time does the sun come up {date}
what time does it get dark in {town}
~when is it dark
~when does it set
~is it dark yet
+and {date}
+and in {town}
+and sunrise

# GetNews news 4 source:news_source+
what's the news
what's in the news [today|]
play the news from {source}
give me the headlines
read me the headlines from {source}
what does {source} say
tell me the latest news
news from {source}
what's going on in the world
play my news briefing
play the {source} news
catch me up on the news
headlines please
any news
what happened today
~play {source}
~{source}
~put on {source}
+and from {source}
+more
+what about {source}

# GetNewsAbout news 2.5 subject:subject!
what's the news about {subject}
any news on {subject}
tell me the latest on {subject}
what's happening with {subject}
give me {subject} news
read me the {subject} headlines
latest {subject} news
is there anything new about {subject}
play the news about {subject}
what's new in {subject}
news about {subject}
update me on {subject}
what are they saying about {subject}
~{subject}
~what about {subject}
~tell me about {subject}
+and {subject}
+what about {subject}
+anything on {subject}

# GetScore sport 3 team:team!
did {team} win
what's the {team} score
how did {team} do
who won the {team} <soccer>
what was the score in the {team} <soccer>
score of the {team} <soccer>
are {team} winning
how are {team} doing
tell me the {team} result
{team} score
did {team} lose again
what's the score with {team}
how did {team} get on last night
~{team}
~what about {team}
~news about {team}
+and {team}
+what about {team}
+how about {team}

# NextGame sport 1.8 team:team!
when do {team} play [next|]
when is the next {team} <soccer>
who are {team} playing next
what time is the {team} <soccer>
when's the {team} <soccer> on
is there a {team} <soccer> this week
who do {team} play this weekend
{team} fixtures
tell me the next {team} fixture
are {team} playing today
where are {team} playing
what channel is the {team} <soccer> on
when do {team} play at home
~{team}
~when are they playing
~do {team} play
+and {team}
+what about {team}
+when do {team} play

# GetFact knowledge 5 topic:topic!
what is {topic}
tell me about {topic}
what does {topic} mean
explain {topic}
how does {topic} work
what do you know about {topic}
give me some facts about {topic}
can you explain {topic} to me
look up {topic}
why is {topic} important
search for {topic}
i have a question about {topic}
who discovered {topic}
where does {topic} come from
~{topic}
~what about {topic}
~what's {topic}
+and {topic}
+what about {topic}
+tell me more about {topic}

# GetPerson knowledge 3.5 person:person!
who is {person}
who was {person}
tell me about {person}
how old is {person}
where was {person} born
how tall is {person}
who is {person} married to
what is {person} famous for
when did {person} die
what do you know about {person}
is {person} still alive
look up {person}
what has {person} done
when was {person} born
~{person}
~what about {person}
~how about {person}
+and {person}
+what about {person}
+how old is {person}

# Define knowledge 2 word:word!
define {word}
what does the word {word} mean
what's the definition of {word}
how do you spell {word}
spell {word}
what's another word for {word}
look up the word {word}
tell me the meaning of {word}
can you spell {word} for me
meaning of {word}
what is a synonym for {word}
what does it mean to be {word}
use {word} in a sentence
~what is {word}
~what's {word}
~{word}
+and {word}
+what about {word}
+spell it {word}

# Calculate knowledge 2.5 first:number! second:number!
what is {first} times {second}
what's {first} plus {second}
{first} plus {second}
{first} times {second}
calculate {first} minus {second}
how much is {first} divided by {second}
what is {first} percent of {second}
add {first} and {second}
multiply {first} by {second}
what do you get if you divide {first} by {second}
how many times does {first} go into {second}
subtract {first} from {second}
{first} percent of {second}
work out {first} times {second}
~{first} {second}
~{first} and {second}
+plus {second}
+times {second}
+divided by {second}
+and {first} plus {second}

# GetRecipe knowledge 2 dish:dish!
how do i make {dish}
give me a recipe for {dish}
find a recipe for {dish}
recipe for {dish}
how do you cook {dish}
what do i need for {dish}
what goes into {dish}
i want to cook {dish}
show me how to make {dish}
how long does {dish} take to cook
look for {dish} recipes
what are the ingredients of {dish}
can you help me make {dish}
let's make {dish}
~make {dish}
~i want {dish}
~{dish}
+or {dish}
+what about {dish}
+and for {dish}
"""

"""Phrasings: books, radio, podcasts, films and series."""

TEXT = """
# PlayAudiobook books 5 title:audiobook!
play the audiobook {title}
read {title}
read me {title}
read {title} to me
play the audiobook of {title}
read me the book {title}
listen to the book {title}
start the audiobook {title}
i want to listen to the audiobook {title}
open the book {title}
carry on reading {title}
continue my book {title}
resume {title} from my audiobooks
play {title} from my audiobook library
play {title} the audiobook
start reading {title}
can you read {title} from where i left off
put on the audiobook of {title}
~play {title}
~put on {title}
~start {title}
~continue {title}
~listen to {title}
~can you play {title}
~resume {title}
+the audiobook {title}
+i meant the book {title}
+read {title} instead
+the book version of {title}

# ReadChapter books 1.5 number:number!
read chapter {number}
go to chapter {number}
play chapter {number}
start at chapter {number}
skip to chapter {number}
jump to chapter {number} of my book
can you read me chapter {number}
i want to hear chapter {number}
open chapter {number}
go back to chapter {number}
chapter {number}
continue from chapter {number}
start reading from chapter {number}
~start at {number}
~go to {number}
~number {number}
+and chapter {number}
+now chapter {number}
+chapter {number}

# BookProgress books 1
how much of this book is left
how long is left in this book
how far am i in the book
when does this chapter end
how much of the chapter is left
what chapter am i on
how many chapters are left
how long until the end of the book
what book am i listening to
where am i in the audiobook
how much more of the story is there
am i nearly done with this book
which chapter is this
~how much is left
~how long is left
~how much longer
+and the chapter
+how about the whole book

# PlayStation radio 4 station:station!
play the station {station}
put the radio on {station}
tune in to {station}
play {station} radio
turn on {station}
listen to the radio station {station}
put on the radio {station}
tune to {station}
switch the radio to {station}
play {station} live
can you get {station} on the radio
i want the radio on {station}
radio {station}
stream the station {station}
~play {station}
~put on {station}
~listen to {station}
~{station}
+change to {station}
+what about {station}
+{station} instead

# PlayPodcast radio 3 podcast:podcast!
play the podcast {podcast}
play the latest episode of {podcast}
put on the podcast {podcast}
play the newest {podcast} podcast
listen to the podcast {podcast}
is there a new episode of {podcast} play it
continue the podcast {podcast}
i want to hear the podcast {podcast}
start the latest {podcast} episode
find the podcast {podcast}
play today's episode of {podcast}
catch me up on {podcast}
resume the podcast {podcast}
can you play the last episode of {podcast}
~play {podcast}
~put on {podcast}
~listen to {podcast}
~resume {podcast}
+the podcast {podcast}
+what about {podcast}
+and {podcast}

# PlayVideo video 6 title:film|series!
watch {title}
play the <film> {title}
i want to watch {title}
put the <film> {title} on
put {title} on the <tv>
show me {title}
start the <film> {title}
can we watch {title}
let's watch {title}
play {title} on the <tv>
play the show {title}
stream {title}
find {title} and put it on the screen
i'd like to watch the <film> {title} [tonight|]
play the series {title}
watch the series {title}
i want to watch the series {title}
put the series {title} on the <tv>
continue watching {title}
~play {title}
~put on {title}
~start {title}
~put {title} on
~can you play {title}
~continue {title}
~{title}
~resume {title}
+the <film> {title}
+i meant the <film> {title}
+i meant the series {title}
+the series {title}
+watch {title} instead
+what about {title}

# PlayEpisode video 2.5 title:series!+ number:number!
play episode {number} of {title}
watch episode {number} of {title}
put on {title} episode {number}
{title} episode {number}
i want to watch {title} season {number}
start season {number} of {title}
play season {number} of {title}
show me episode {number} of {title}
go to episode {number} of {title}
can we watch the next {title} episode {number}
resume {title} at episode {number}
continue {title} from episode {number}
play the {title} episode number {number}
~play {title} {number}
~put on {title} {number}
~start {title} {number}
+episode {number}
+now episode {number}
+and season {number}

# WhoStarsIn video 1.5 title:film|series!+
who stars in {title}
who plays in {title}
who is in {title}
who's the main actor in {title}
who are the actors in the <film> {title}
who directed {title}
what's the cast of {title}
tell me the cast of {title}
which actors are in {title}
who made the <film> {title}
who is the lead in {title}
when did {title} come out
is {title} any good
what is the <film> {title} about
~who is in it {title}
~what's {title}
~tell me about {title}
+and in {title}
+who directed it
+what about {title}

# FindVideo video 2 genre:video_genre!
show me a {genre}
find a good {genre}
find a {genre} to watch
is there a new {genre} [out|]
i want to watch a {genre}
find me a {genre} for tonight
recommend a {genre}
what {genre} can we watch
search for a {genre}
is there a {genre} on the <tv> tonight
let's watch a {genre}
show me the best {genre}
suggest a {genre} <film> night
we'd like to see a good {genre}
any good {genre}
~put on a {genre}
~play a {genre}
~a {genre}
+a {genre} instead
+what about a {genre}
+or a {genre}
"""

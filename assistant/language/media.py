"""Phrasings: music, radio, books, video, playback."""

TEXT = """
# PlayMusic music 9 title:song! artist:artist
play the song {title}
play the song {title} by {artist}
play {title} by {artist}
put on {title} by {artist}
can you play {title} by {artist}
i want to hear the song {title}
i want to listen to {title} by {artist}
play me that song {title}
let's hear {title} by {artist}
could you put the track {title} on
play the track called {title}
start the song {title}
{title} by {artist}
find the song {title} and play it
play that {artist} song [um|] {title}
i'd love to hear {title} the song by {artist}
~play {title}
~put on {title}
~put {title} on
~can you play {title}
~i want to hear {title}
~{title}
~start {title}
~listen to {title}
~play me {title}
+now play {title}
+and then {title}
+play {title} next
+what about {title}
+{title} instead
+and {title} by {artist}

# PlayArtist music 7 artist:artist!
play songs by {artist}
play some music by {artist}
play something by {artist}
i want to listen to [some|a bit of] {artist}
put on some {artist}
play me some {artist}
shuffle songs by {artist}
shuffle {artist}
play the best of {artist}
play all the songs of {artist}
play the artist {artist}
give me some {artist} music
can you play anything by {artist}
music by {artist}
i'm in the mood for some {artist}
play the latest from {artist}
~play {artist}
~put on {artist}
~can you play {artist}
~listen to {artist}
~{artist}
+something by {artist} instead
+more {artist}
+and some {artist}
+what about {artist}

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
put on the audiobook of {title} please
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
find {title} and play the trailer
i'd like to watch the <film> {title} tonight
play the series {title}
is {title} on put it on the screen
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
+watch {title} instead
+what about {title}

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
"""

"""Phrasings: music and what is playing."""

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
play the track [called|] {title}
start the song {title}
{title} by {artist}
find the song {title} and play it
play that {artist} song {title}
i'd love to hear {title} [the song|] by {artist}
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

# PlayArtist music 6 artist:artist!
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
give me some {artist} [music|songs]
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

# PlayAlbum music 3 title:album! artist:artist
play the album {title}
play the album {title} by {artist}
put on the album {title}
play {title} the [album|record] by {artist}
i want to hear the whole album {title}
start the album {title} from the beginning
play the [new|latest] {artist} album {title}
can you put the record {title} on
play the soundtrack {title}
play the soundtrack of {title}
listen to the album {title}
play all of the album {title}
shuffle the album {title}
let's have the album {title} by {artist}
find the album {title}
~play {title}
~put on {title}
~listen to {title}
~play {title} by {artist}
+the whole album {title}
+no the album {title}
+i meant the album {title}
+what about the album {title}

# PlayPlaylist music 4 playlist:playlist!
play the playlist {playlist}
play my {playlist} playlist
put on my {playlist} playlist
start the {playlist} playlist
shuffle my playlist {playlist}
shuffle the {playlist} playlist please
can you play the {playlist} mix
i want the playlist {playlist}
play {playlist} from my playlists
open my playlist {playlist}
put the {playlist} playlist on
play songs from {playlist}
let's have the {playlist} playlist
find the playlist called {playlist}
~play {playlist}
~put on {playlist}
~{playlist}
~start {playlist}
+now the {playlist} playlist
+{playlist} instead
+what about {playlist}

# PlayGenre music 4 genre:genre!
play some {genre}
play {genre} music
put on some {genre}
i want to hear some {genre}
can we have some {genre} music
give me some {genre}
play a bit of {genre}
some {genre} please
i'm in the mood for {genre}
shuffle {genre} songs
play the best {genre} songs
find me some good {genre}
play something {genre}
put {genre} music on
could you play some relaxing {genre}
~play {genre}
~put on {genre}
~{genre}
+some {genre} instead
+what about {genre}
+more {genre}

# NextTrack music 5
next song
skip this song
skip
next
play the next song
next track please
skip this one
go to the next song
i don't like this one skip it
can you skip this track
skip ahead to the next one
another song
next one
change the song
~skip it
~go on
~move on
+next
+skip again
+and the next one
+again

# PreviousTrack music 1.5
previous song
go back to the last song
play that song again
play the previous track
back one song
previous track
last song again
can you play the one before
play the last song again
start this song again
previous one
i want to hear the song before this one
rewind to the last track
~go back
~play that again
~previous
+back again
+one more back
+the one before that

# WhatIsPlaying music 3
what song is this
what's playing
what is this song
who sings this
what's the name of this song
who is this
who is singing
what are we listening to
what song is playing right now
tell me what's playing
what's this track called
which band is this
do you know this song
name this song
~what is this
~what's this
~what's it called
+and who sings it
+and this one
+what album is it from

# LikeSong music 1.2
i like this song
like this song
add this song to my favourites
thumbs up
save this song
i love this one
add this to my library
remember this song
give this song a thumbs up
mark this track as a favourite
this is a great song save it
put this song in my favourites
more songs like this one
~save it
~i like it
~add it to my library
+and this one too
+like it
+save this one too

# PauseMedia playback 4
pause
pause the music
pause it
pause the <film>
hold on pause that
can you pause
pause playback
pause the song
pause the book
pause the <tv>
pause for a minute
please pause
pause this
hit pause
~stop the music
~wait
~hold on
+pause again
+pause it again
+and pause

# ResumeMedia playback 3
resume
resume playing
keep playing
continue playing
unpause
play it again from where it stopped
carry on with the music
resume the music
start playing again
press play
continue the music
okay you can play now
un pause the <film>
go back to playing
~continue
~carry on
~play
~go on
+okay continue
+and resume
+carry on now

# SetVolume playback 3 level:number!
set the volume to {level}
volume {level}
turn the volume to {level}
change the volume to {level}
put the volume on {level}
volume to {level} please
can you set the volume at {level}
make the volume {level}
turn it up to {level}
turn it down to {level}
volume level {level}
sound at {level}
i want the volume at {level}
~set it to {level}
~make it {level}
~{level}
+{level}
+a bit lower make it {level}
+now {level}
+to {level}

# VolumeUp playback 4
turn up the volume
volume up
louder
louder please
turn up the music
make it louder
increase the volume
i can't hear it
can you make that louder
turn the sound up
a bit louder
raise the volume
pump up the volume
speak up
~turn it up
~up
~more
+more
+louder still
+a bit more
+up again

# VolumeDown playback 4
turn down the volume
volume down
quieter
quieter please
turn down the music
make it quieter
lower the volume
it's too loud
that is way too loud
can you turn the sound down
a little quieter
decrease the volume
not so loud
softer
~turn it down
~down
~less
+less
+quieter still
+a bit more
+down again
"""

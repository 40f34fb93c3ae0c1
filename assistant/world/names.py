"""Word material that names are composed from. Invented here, but for a few well known titles."""

from __future__ import annotations

from assistant.spoken_forms import listed

FIRST = listed("""
ada adele alba alfie amara amos anders anita annie arlo arthur asha astrid aubrey ava basil bea
bella ben bertie bessie billie bonnie brigid bruno callum carla carmen cara casper celia chester
clara clem cleo cora corin daisy dara darcy dean della dev dexter dion dora edie edwin eliza ella
elsie emil enid esme ester ethan eva ezra faye felix fern finn flora frankie freya gabe george
gina greta gus hal hanna harvey hattie hazel hector heidi henry hugo ida imogen ines ira iris isaac
ivy jack jade jasper jed jenna joan joel jonah josie jude june kai kara kit lana lara leo leona
lila lola lorna lucas luna mabel maeve magnus maisie marcus margot matilda max mia mila milo mina
miriam monty myra nadia naomi ned nell nico nina noah nora odette olive omar orla oscar otis otto
owen pearl penny perry petra phoebe pip polly quinn ralph ramona reese remy rhea rita robin roman
rory rosa rowan ruby rufus sadie sage sara saskia saul seth shay silas simone sofia sonny stella
sylvie tara tess theo thora toby tomas una ursula vera victor vince viola wade wanda wilf willa
winnie xavier yara yusuf zadie zara zeke zelda
""")
LAST = listed("""
abbott acker adair ainsley alder archer ashby atwood aveling banner barlow beckett bellamy benson
birch blackwell blythe bolt bowen bramble brand briggs bright brook calder carver castle chance
chase clay cobb cole conway corbin crane crawley cross dale darling dawes decker devlin dove drake
draper dunmore eastman eaves ellery emmett everly fairfax fane farrow fenn finch flint foley forde
fox frost gale garland garnet gibbs glass grace graves grey griffin hale halloway hardy harker
hart hatch hawke hayes heath hobbs holt horne hunt ingram irons ivory jarvis joyce kane keats
kemp kerr kestrel kidd lake lamb lane larkin leigh lockhart lovell lowe marlow marsh mercer miles
monk moon moss nash noble north oakes orchard page park pike pool pope porter prince quill rain
raven reed reeves rhodes rivers rook rose rowe rush rye sable salt sands savage sharpe shaw silver
slate snow sparrow stark steele stone storm summers swan swift tait teller thorne tide vale vance
vaughn wade walsh ward webb wells west wheeler wilde winter wolfe wren wynn yates york
""")
INDIAN_FIRST = listed("""
aarav aditi akash amit ananya anil anjali arjun deepa devika divya farhan gaurav geeta harish isha
ishaan jaya karan kavita kiran lakshmi lata manish maya meera mohan neha nikhil pooja prakash priya
rahul rajesh rani ravi rekha rohan sachin sanjay shanti shreya sunita suresh tanvi uma varun vijay
vikram yash
""")
INDIAN_LAST = listed("""
acharya agarwal banerjee bhat chandra chopra das desai dutta ghosh gupta iyer jain joshi kapoor khan
kulkarni kumar malhotra mehta menon mishra mukherjee nair pandey patel pillai rao reddy roy saxena
sen shah sharma singh sinha trivedi varma yadav
""")
ADJECTIVES = listed("""
amber ancient bitter black blind blue bold borrowed bright broken brave burning careless clever cold
copper crimson crooked crystal dark dear dizzy distant dusty early electric empty endless faded
fallen false fearless final foolish forgotten fragile frozen gentle ghostly gilded golden good green
grey hidden hollow holy hungry idle invisible iron ivory jealous kind last lazy little lonely long
lost lucky mad marble midnight misty modern naked narrow nervous new noble northern old open pale
paper perfect plastic poor pretty private proud purple quiet rapid reckless red restless rolling
rusty sacred savage second secret seven shallow sharp silent silver simple sleepy slow small
southern
splendid steady still stolen strange sudden sunday sweet tall tender thin thirsty tiny tired twisted
ugly velvet wasted western white wicked wide wild winter wise wooden young yellow
""")
NOUNS = listed("""
anchor angel animal answer apple april arrow ashes avenue ballroom bandit beacon bell bird blossom
boat bone bottle bridge brother butterfly candle canyon carnival castle cathedral chain chapel
cinema circus city clock cloud coast compass country cousin cradle crown dancer daughter dawn desert
diamond doctor dog dollar door dream driver dust eagle echo ember empire engine evening eye fable
farmer father feather fence fever field fire fish flame flood flower forest fortune fountain fox
friend frontier garden gate ghost giant glass glory gold grave guitar hand harbour harvest
heart heaven highway hill holiday home honey horizon horse hotel hour house hunter hurricane island
jacket jewel journey jungle key king kingdom kiss kitchen ladder lady lake lamp language lantern
letter library light lightning lion liar machine magic mansion map market mask medicine memory
mercy message midnight mile miracle mirror money monkey monster moon morning mother motel mountain
murder museum music mystery needle neighbor night number ocean orchard orphan palace paper parade
paradise pearl photograph piano picture pilgrim pillow pilot planet pocket poet postcard prayer
preacher prison promise prophet queen question radio railroad rain rainbow raven rebel ribbon river
road robot rocket rose saint salt satellite school scientist sea season secret shadow shark ship
shore shoulder signal silence singer sister sky snow soldier song spider spring stable star station
stone storm stranger street string student sugar suitcase summer sun swan teacher temple theatre
thief thunder tide tiger train traveller treasure tree trouble tunnel twilight valley village
violin voice wagon wall watch water wave weather wedding whale whisper widow wind window wing wire
witch wolf wonder world writer year
""")
# Verbs that take an object, and verbs that need none.
DOING = listed("""
break burn call carry catch chase drive feed fight find follow forget forgive hide hold hunt kiss
lead leave lose love miss remember ride save send shake steal stop surrender teach tell touch turn
wake watch win
""")
BEING = listed("""
breathe come dance dream drown fall float fly go hurry listen live pray rise run sail shine sing
sleep slip smile stay swim talk travel wait walk wander whisper wonder
""")
# Words that sound alike, or nearly.
ALIKE = tuple(
    pair.split("/")
    for pair in listed("""
night/knight sun/son rain/reign sea/see road/rode heart/hart flower/flour blue/blew sole/soul
rose/rows tide/tied wave/waive sail/sale stair/stare moan/mown bare/bear wait/weight pale/pail
write/right hole/whole hour/our piece/peace prey/pray thrown/throne main/mane mist/missed
dear/deer fair/fare made/maid red/read way/weigh won/one steel/steal berry/bury choir/quire
ate/eight bored/board cell/sell
""")
)
SYLLABLE_STARTS = listed("""
ash bar beck birch black blair bram brook burn cal carl chel chester clay cold cor crow dal dar den
dun east ed elm fair farn fern flax ford gar glen green hal ham har hart haver hazel hol kel ken
kings kirk lang lin long mal mar mel mid mill mor net new nor north oak old pem pen port queens
rad red rock ros rush sal sand shel silver south stan stoke strat sut thorn thorp up wal war wat
well west whit wick wil win wood
""")
TOWN_ENDS = {
    "en-US": listed("ville ton burg field dale port wood haven view land mont creek"),
    "en-GB": listed("ton ham bury ford shire worth minster wick combe mouth stead by"),
    "en-IN": listed("pur nagar abad garh puram gaon patnam kot halli wadi ganj pet"),
    "en-AU": listed("ong arra bool dale vale mere ook ville ridge burra wong point"),
}
INDIAN_STARTS = listed("""
ama ana bala bhar bija chand dar dev dhar dur gan gopal gor hari indra jala jai jam kal kan kar
khan kol kris laksh mad mahi man meer mira mohan nanda nara nav padma param pra raj ram ran ratna
sam shan shiv sita sri sun suraj tej udai vani vija yash
""")
AUSTRALIAN_STARTS = listed("""
bal ban ben boon bun cam coon coola cur dub gee gil goon gul jer joon kal kan kor kur mar mel mil
mol mur nar nara noo par tam tara tum ulla wagga wal wang war warra wol won yal yar yen
""")
REGIONS = {
    "en-US": listed("texas ohio oregon georgia kansas vermont indiana maine nevada virginia"),
    "en-GB": listed("kent norfolk devon wales scotland cornwall suffolk yorkshire dorset essex"),
    "en-IN": listed("kerala punjab gujarat bihar assam goa maharashtra karnataka odisha haryana"),
    "en-AU": listed(
        "victoria|queensland|tasmania|new south wales|south australia|western australia", "|"
    ),
}
# Nicknames, which have nothing in common with the name, by kind; and from which popularity on an
# entity has one: fans name an artist by a habit and a song by the line that everybody sings.
NICKNAMES = {
    "artist": (
        "king {first}", "queen {first}", "big {first}", "lady {noun}", "mister {noun}",
        "the {noun} man", "sweet {first}", "captain {noun}", "the {noun} twins",
    ),
    "song": (
        "oh {noun}", "hey {noun}", "{noun} {noun}", "that {noun} song", "give me {noun}",
        "la la {noun}", "no more {noun}", "you and your {noun}", "one more {noun}",
    ),
    "station": ("the {noun} beat", "big {noun}", "the {noun} mix", "all {noun}"),
    "team": ("the {colour}s", "the {colour} {noun}", "the old {colour}s"),
}  # fmt: skip
NICKNAMED = {"artist": 0.008, "song": 0.003, "station": 0.1, "team": 0.15}
COLOURS = listed("red blue green gold black white silver grey")

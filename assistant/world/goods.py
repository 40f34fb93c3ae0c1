"""Things of daily life that are asked for by their ordinary name.

``us=gb=in=au`` is one thing under the names of the four locales, ``name/other`` one with aliases.
"""

from __future__ import annotations

from assistant.spoken_forms import listed

FOODS = listed(
    """
    milk|bread|eggs|butter|cheese|bananas|apples|oranges|chicken|rice|pasta|coffee|tea|sugar|salt|
    flour|potatoes|tomatoes|onions|garlic|carrots|broccoli|spinach|lettuce|cucumber|lemons|limes|
    grapes|strawberries|blueberries|raspberries|yogurt=yoghurt=curd=yoghurt|cream|ice cream|honey|
    jam|peanut butter|olive oil|vinegar|ketchup=ketchup=tomato sauce=tomato sauce|mustard|
    mayonnaise|
    soy sauce|black pepper|cinnamon|cilantro=coriander=dhania=coriander|parsley|basil|ginger|mint|
    eggplant=aubergine=brinjal=eggplant|zucchini=courgette=zucchini=zucchini|okra=okra=bhindi=okra|
    bell peppers=peppers=capsicum=capsicum|green onions=spring onions=spring onions=shallots|corn|
    mushrooms|celery|cabbage|cauliflower|peas|green beans|beets=beetroot=beetroot=beetroot|pumpkin|
    sweet potatoes|avocados|mangoes|pineapple|watermelon|peaches|pears|plums|cherries|kiwis|
    ground beef=mince=mince=mince|bacon|sausages=sausages=sausages=snags|ham|turkey|lamb|salmon|
    tuna|shrimp=prawns=prawns=prawns|fish fingers|tofu|paneer|lentils=lentils=dal=lentils|
    chickpeas=chickpeas=chana=chickpeas|kidney beans|baked beans|oats|cereal|granola bars|crackers|
    cookies=biscuits=biscuits=bikkies|chips=crisps=chips=chips|chocolate|
    candy=sweets=toffees=lollies|
    popcorn|nuts|almonds|raisins|cashews|orange juice|apple juice|sparkling water|lemonade|
    soda=fizzy drinks=cold drinks=soft drink|beer|red wine|white wine|
    toilet paper=toilet roll=tissue=
    toilet paper|paper towels=kitchen roll=paper towels=paper towels|dish soap=washing up liquid=
    dish wash=dishwashing liquid|laundry detergent=washing powder=washing powder=washing powder|
    trash bags=bin bags=garbage bags=bin bags|light bulbs|batteries|shampoo|conditioner|toothpaste|
    toothbrushes|soap|hand cream|razor blades|deodorant|diapers=nappies=diapers=nappies|baby wipes|
    cat food|dog food|cat litter|bird seed|candles|matches|sponges|aluminum foil=tin foil=foil=foil|
    plastic wrap=cling film=cling film=glad wrap|flowers|sunscreen|aspirin|vitamins|baking powder|
    yeast|vanilla|maple syrup|tortillas|bagels|muffins|croissants|pita bread=pitta bread=roti=
    pita bread|noodles|sour cream|cottage cheese|cream cheese|mozzarella|parmesan|ghee|coconut milk|
    curry powder|turmeric|cumin|chili powder|hummus|salsa|pickles|olives|pizza|frozen peas|tea bags
    """,
    "|",
)
DISHES = listed(
    """
    pizza|sandwich|burger|chicken curry|caesar salad|pad thai|lasagna|biryani|dosa|meat pie|
    pancakes|omelette|tomato soup|mushroom risotto|fish and chips|chilli|beef stew|tacos|burritos|
    fried rice|spaghetti carbonara|spaghetti bolognese|apple pie|banana bread|chocolate cake|
    carrot cake|cheesecake|brownies|scones|meatballs|roast chicken|roast lamb|shepherd's pie|
    macaroni and cheese|butter chicken|palak paneer|chana masala|samosas|idli|lemon chicken|
    vegetable soup|chicken soup|pumpkin soup|quiche|pavlova|lamingtons|guacamole|hummus|falafel|
    kebab|sushi|ramen|spring rolls|dumplings|green curry|paella|gazpacho|goulash|moussaka|
    chicken pot pie|corn bread|pulled pork|barbecue ribs|fish tacos|fruit salad|potato salad|
    garlic bread|french toast|granola|rice pudding|trifle|crumble|tiramisu|gumbo|jambalaya|
    stuffed peppers|nachos|ratatouille|salmon teriyaki|beef wellington
    """,
    "|",
)
CATEGORIES = listed(
    """
    restaurant|coffee shop/cafe|bakery|pharmacy=chemist=medical shop=chemist|supermarket|
    gas station=petrol station=petrol pump=servo|hospital|dentist|bank|
    cash machine=cash machine=atm=
    atm|post office|library|museum|movie theater=cinema=cinema hall=cinema|park|
    swimming pool|gym|hotel|pizza place|sushi restaurant|indian restaurant|burger place|bar=pub=bar=
    pub|barber|hairdresser|hardware store|bookshop/book store|florist|car wash|charging station|
    parking lot=car park=parking=car park|vet|bus stop|train station|toy shop|ice cream shop
    """,
    "|",
)
GENRES = listed(
    """
    pop|rock|jazz|classical|hip hop/rap|country|folk|blues|soul|funk|disco|techno|house|reggae|
    metal|
    punk|indie|ambient|lo fi|gospel|opera|latin|salsa|bollywood|bhangra|classic rock|soft rock|
    piano music|film music/soundtracks|children's songs/kids' songs|christmas songs|dance|
    electronic|
    rhythm and blues|swing|bluegrass|eighties/eighties hits|nineties/nineties hits|acoustic|
    white noise|rain sounds
    """,
    "|",
)
PLAYLISTS = listed(
    """
    morning run|dinner party|deep sleep|focus|road trip|sunday morning|cooking|workout|rainy day|
    chill|bedtime|party|happy hits|study|summer|throwback|yoga|cleaning|date night|wake up|
    slow jazz|new releases|top fifty|family favourites|kids|guitar|gym|running|run|late night|
    driving|garden|beach day|sad songs|feel good|coffee house|bath time|birthday|wedding|game night|
    barbecue|bollywood hits|indian classics|aussie anthems|british classics|americana|
    piano for sleep|
    baby sleep|meditation|monday blues|friday night|weekend|winter warmers|autumn leaves|
    liked songs|
    my mix|on repeat|old favourites|school run|commute
    """,
    "|",
)
VIDEO_GENRES = listed(
    """
    comedy|thriller|documentary|western|cartoon|drama|musical|romantic comedy|crime drama|
    horror movie=horror film=horror movie=horror movie|action movie=action film=action picture=
    action movie|nature documentary|cooking show=cookery programme=cooking show=cooking show|
    quiz show|talk show|science fiction movie/sci fi movie|fantasy series|kids' movie/kids' film|
    detective series|heist movie/heist film
    """,
    "|",
)
TOPICS = listed(
    """
    photosynthesis|gravity|the moon|the speed of light|black holes|the great wall|the titanic|
    volcanoes|earthquakes|the water cycle|electricity|magnets|dinosaurs|the roman empire|
    ancient egypt|the pyramids|the french revolution|the industrial revolution|the cold war|
    the renaissance|the internet|artificial intelligence|computers|vaccines|antibiotics|the heart|
    the brain|bones|muscles|sleep|dreams|memory|the solar system|mars|jupiter|saturn|venus|comets|
    meteors|the milky way|rainbows|thunder|tornadoes|hurricanes|clouds|snow|glaciers|rivers|oceans|
    coral reefs|the amazon|the sahara|mount everest|the nile|the equator|penguins|elephants|
    giraffes|whales|dolphins|sharks|octopuses|bees|butterflies|spiders|bats|owls|eagles|kangaroos|
    koalas|tigers|lions|wolves|polar bears|pandas|snakes|frogs|chess|cricket|football|rugby|tennis|
    golf|the olympics|the marathon|opera|ballet|jazz|haiku|poetry|shakespeare|paper|glass|steel|
    plastic|gold|silver|diamonds|salt|sugar|coffee|tea|chocolate|bread|cheese|yeast|vitamin c|iron|
    oxygen|carbon|hydrogen|helium|atoms|molecules|cells|genes|evolution|ecology|climate change|
    solar power|wind power|nuclear power|petrol|batteries|steam engines|aeroplanes|rockets|
    satellites|telescopes|microscopes|cameras|radio|television|the telephone|clocks|calendars|
    leap years|time zones|inflation|interest rates|the stock market|taxes|democracy|parliament|
    the constitution|the monarchy|human rights|diwali|christmas|easter|ramadan|halloween|
    thanksgiving|pi|fractions|prime numbers|geometry|algebra|infinity|latin|sanskrit|morse code
    """,
    "|",
)
WORDS = listed(
    """
    serendipity|ubiquitous|ephemeral|pragmatic|ambiguous|benevolent|candid|diligent|eloquent|
    frugal|gregarious|humble|impartial|jovial|keen|lucid|meticulous|novice|obsolete|placid|
    quaint|resilient|stoic|tenacious|unanimous|vivid|whimsical|zealous|necessary|rhythm|receipt|
    definitely|separate|embarrass|accommodate|conscience|bureaucracy|onomatopoeia|irony|metaphor|
    paradox|empathy|nostalgia|hypothesis|entropy|affect|effect|stationary|stationery|principal|
    principle|complement|compliment|discreet|discrete|inevitable|melancholy|peculiar|reluctant|
    subtle|thorough|versatile|wary|yearn|zenith|altruism|brevity|cacophony|dilemma|enigma|facade|
    genre|hubris|idiom|juxtapose|kinetic|labyrinth|mnemonic|nuance
    """,
    "|",
)
SUBJECTS = listed(
    """
    the election|the economy|the weather|football|cricket|tennis|climate change|technology|health|
    science|space|politics|the stock market|house prices|the strike|the floods|the fires|
    the royal family|the prime minister|the president|parliament|congress|education|
    schools|energy prices|travel|celebrities|films|music|books|art|the local council|the storm|
    the world cup|business|gaming|local news
    """,
    "|",
)
TEAM_ENDS = {
    "en-US": listed("hawks bears rockets pirates giants comets mustangs wolves"),
    "en-GB": listed("united city rovers town wanderers albion athletic rangers"),
    "en-IN": listed("warriors|royals|titans|super kings|chargers|lions|knights", "|"),
    "en-AU": listed("magpies sharks bulldogs crows swans roosters eagles kangaroos"),
}

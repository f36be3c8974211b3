"""Names and goods of the brand: first and last names, time zones, products."""

FIRST_NAMES = (  # noqa: SIM905 - one name a line would be a file of its own
    "Ada Agnes Aisha Alba Alex Alice Amara Amir Anders Anika Anton Anya Arjun Asha Astrid Ben Bianca Bram Callum "
    "Carmen Cecilia Chiara Chloe Clara Dafne Daniel Daria David Deniz Diego Dominik Edith Elena Eli Elif Emil "
    "Emma Erik Esme Eva Farah Felix Fiona Florian Freya Gabriel Gemma George Greta Hana Hannah Harriet Hassan "
    "Helen Hugo Ida Imani Ines Ingrid Iris Isaac Ivan Jack Jana Jasper Javier Joan Joanna Johan Jonas Josie Jude "
    "Julia Kai Karim Karin Kasia Kate Kofi Lars Laura Layla Lea Leo Lena Liam Lila Linus Liv Lotte Louis Luca "
    "Lucy Magnus Malik Mara Marco Margot Maria Marius Marta Martin Mateo Matilda Mei Mia Mila Milan Mina Miriam "
    "Nadia Nell Nia Nico Nina Noah Nora Olga Olive Omar Oscar Otto Paula Pedro Petra Phoebe Pia Priya Quentin "
    "Rafael Rana Rebecca Rhys Robin Rosa Ruben Ruth Sam Sana Sara Saskia Selma Sena Simon Sofia Stella Stefan "
    "Susan Svea Tara Tess Theo Thea Tilda Tobias Una Uma Vera Victor Viola Wanda Wim Yara Yasmin Yusuf Zara Zoe"
).split()

LAST_NAMES = (  # noqa: SIM905 - one name a line would be a file of its own
    "Abbott Adler Ahmed Almeida Andersen Bakker Barnes Bauer Bell Berg Bianchi Boateng Brandt Brennan Bruun Byrne "
    "Campos Carter Castro Chen Clarke Conti Cruz Dahl Daly Davies Delgado Demir Diaz Doyle Dubois Duarte Eriksen "
    "Evans Farrell Fischer Fontaine Foster Fraser Garcia Gibson Gomez Grant Gray Greco Haas Hall Hansen Harris "
    "Hayes Heller Holm Horvat Hughes Ibrahim Iversen Jansen Jensen Johansson Kaur Keller Kelly Khan Kim Klein "
    "Koch Kovac Kowalski Krause Lang Larsen Laurent Lee Leone Lewis Lind Lopez Lund Mancini Marino Marsh Martens "
    "Mehta Mendes Meyer Moore Moreau Moretti Morris Murphy Nagy Nielsen Novak Nowak Oakley Olsen Ortiz Osei Owens "
    "Park Patel Pereira Petersen Popa Porter Quinn Ramos Reid Ricci Rossi Russo Ryan Salem Santos Sato Schmidt "
    "Schulz Shah Silva Simmons Singh Sousa Stone Svensson Tanaka Taylor Thomsen Torres Turner Vargas Visser Vogel "
    "Wagner Walsh Watts Weber Winter Wolff Wong Wood Yilmaz Young Zhang Ziegler"
).split()

TIMEZONES = ("Europe/Amsterdam", "Europe/Berlin", "Europe/Lisbon", "Europe/London", "Europe/Dublin", "Europe/Paris")

# What the brand sells, with the price in euro.
PRODUCTS = {
    "linen apron": 34,
    "stoneware mug": 18,
    "pair of espresso cups": 26,
    "walnut serving board": 49,
    "beeswax candle set": 29,
    "lavender soap bar": 9,
    "wool throw": 89,
    "glass carafe": 38,
    "ceramic vase": 44,
    "birthday gift box": 55,
    "tea towel set": 22,
    "brass picture frame": 31,
    "hand-painted plate": 27,
    "cotton table runner": 36,
    "cast iron teapot": 64,
    "rattan basket": 42,
    "olive wood spoon": 14,
    "letterpress card set": 16,
    "enamel jug": 33,
    "cushion cover": 28,
    "desk lamp": 79,
    "wall clock": 68,
    "scented diffuser": 32,
    "baby blanket": 47,
    "leather journal": 39,
    "herb planter": 30,
    "cheese knife set": 35,
    "salad bowl": 46,
    "jewellery box": 58,
    "door mat": 25,
}

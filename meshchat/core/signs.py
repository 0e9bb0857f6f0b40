"""The 64 signs of a live check, each with its English word, in the order of their number.

Words are what is read aloud, so no two sound alike and each names one plain thing; terminals that
draw a sign badly still show its word. Only the numbers travel in the code: words can be translated.
"""

SIGNS: tuple[tuple[str, str], ...] = (
    ("🐶", "dog"), ("🐱", "cat"), ("🐴", "horse"), ("🐮", "cow"),
    ("🐫", "camel"), ("🐘", "elephant"), ("🐻", "bear"), ("🐸", "frog"),
    ("🐔", "hen"), ("🦉", "owl"), ("🐟", "fish"), ("🐢", "turtle"),
    ("🐍", "snake"), ("🐝", "bee"), ("🦋", "butterfly"), ("🐌", "snail"),
    ("🌳", "tree"), ("🌵", "cactus"), ("🌷", "tulip"), ("🍄", "mushroom"),
    ("🌽", "corn"), ("🍎", "apple"), ("🍋", "lemon"), ("🍇", "grapes"),
    ("🍉", "melon"), ("🍓", "strawberry"), ("🥕", "carrot"), ("🍞", "bread"),
    ("🧀", "cheese"), ("🥚", "egg"), ("🎂", "cake"), ("🍯", "honey"),
    ("🌙", "moon"), ("⭐", "star"), ("🔥", "fire"), ("🌈", "rainbow"),
    ("⛄", "snowman"), ("🌊", "wave"), ("⛵", "boat"), ("🚲", "bicycle"),
    ("🚂", "train"), ("🚀", "rocket"), ("🎈", "balloon"), ("🏠", "house"),
    ("⛺", "tent"), ("🔑", "key"), ("🔒", "lock"), ("🔔", "bell"),
    ("🔨", "hammer"), ("🪣", "bucket"), ("🧲", "magnet"), ("📷", "camera"),
    ("📚", "books"), ("📌", "pin"), ("👓", "glasses"), ("🎩", "hat"),
    ("👑", "crown"), ("👢", "boot"), ("☔", "umbrella"), ("🎸", "guitar"),
    ("🥁", "drum"), ("⚽", "football"), ("⏰", "clock"), ("🎁", "gift"),
)  # fmt: skip

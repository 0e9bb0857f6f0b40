"""What the people of the demo say, in English, Russian and Kazakh.

Calm lines about a shutdown: who is well, where bread and water are, who carries word where.
``{me}`` is our user's name, ``{place}`` where the speaker is, ``{other}`` and ``{there}`` somebody
who was asked about and where that person is.
"""

import re
from typing import Literal, NamedTuple

Lang = Literal["en", "ru", "kk"]

_KAZAKH = frozenset("әғқңөұүһі")
_CYRILLIC = frozenset("абвгдеёжзийклмнопрстуфхцчшщъыьэюя")

PLACES: dict[str, dict[Lang, str]] = {
    "home": {"en": "at your house", "ru": "у твоего дома", "kk": "сенің үйіңде"},
    "yard": {"en": "in the yard", "ru": "во дворе", "kk": "аулада"},
    "bakery": {"en": "at the bakery", "ru": "у пекарни", "kk": "наубайхананың жанында"},
    "square": {"en": "on the square", "ru": "на площади", "kk": "алаңда"},
    "school": {"en": "at the school", "ru": "у школы", "kk": "мектептің жанында"},
    "clinic": {"en": "at the clinic", "ru": "в клинике", "kk": "емханада"},
    "village": {"en": "in Kaiyndy", "ru": "в Каинды", "kk": "Қайыңдыда"},
    "house7": {"en": "at house 7", "ru": "в доме 7", "kk": "7-үйде"},
    "house14": {"en": "at house 14", "ru": "в доме 14", "kk": "14-үйде"},
    "": {"en": "on the way", "ru": "в пути", "kk": "жолда"},
}

# What a message is about, the most telling first. "=" before a word: exactly it; else its start.
TOPICS: tuple[tuple[str, str], ...] = (
    ("bread", "bread bakery =food =eat shop store хлеб пекарн =еда еды магазин =нан нанды азық"),
    ("water", "water вода воды воду =су =суды"),
    ("power", "charg battery power electric light заряд батаре =свет света розетк жарық қуат"),
    ("medicine", "doctor clinic medicin insulin pill врач лекарств клиник инсулин дәрі емхана"),
    ("net", "internet network online связь связи интернет =сеть сети желі байланыс"),
    ("simulated", "simulat =real =bot =bots robot demo настоящ робот =бот демо шынайы"),
    (
        "meet",
        "=meet =come coming visit =yard встрет приход приду придёшь придешь =двор кездес келес",
    ),
    ("where", "=where =где =куда қайда"),
    ("when", "=when =когда қашан"),
    ("who", "=who =кто =кім кімсі"),
    ("help", "help need помощ помоги нужн көмек керек"),
    ("how", "=how okay =ok alive alright safe дела жив порядк =как қалай аман жағдай"),
    ("thanks", "thank =thx спасибо благодар рахмет рақмет"),
    ("bye", "=bye goodbye =пока свидан =сау қош"),
    ("hello", "hello =hi =hey morning evening привет здравств салам сәлем салем қайырлы добр"),
)

REPLIES: dict[str, dict[Lang, tuple[str, ...]]] = {
    "bread": {
        "en": (
            "Bread is at the bakery, at seven and at four. The queue is calm.",
            "The baker keeps a loaf for our stairs. Ask for Gulnara.",
            "The small shop by the square has flour and tea. Cash only.",
        ),
        "ru": (
            "Хлеб в пекарне, в семь и в четыре. Очередь спокойная.",
            "Гульнара оставляет буханку на наш подъезд, спроси её.",
            "В магазине у площади есть мука и чай. Только наличные.",
        ),
        "kk": (
            "Нан наубайханада, сағат жетіде және төртте. Кезек тыныш.",
            "Гүлнара біздің кіреберіске бір нан қалдырады, содан сұра.",
            "Алаңның жанындағы дүкенде ұн мен шай бар. Тек қолма-қол ақша.",
        ),
    },
    "water": {
        "en": (
            "Water is at the school until six. Take two bottles, it is a long way.",
            "Ours runs again since this morning, only cold. Fill what you have.",
        ),
        "ru": (
            "Вода в школе до шести. Возьми две бутылки, идти далеко.",
            "У нас с утра снова идёт, только холодная. Набери про запас.",
        ),
        "kk": (
            "Су мектепте, сағат алтыға дейін. Екі бөтелке ала кел.",
            "Бізде таңнан бері қайта ағып тұр, тек салқын. Толтырып ал.",
        ),
    },
    "power": {
        "en": (
            "The bakery has a socket by the window. Half an hour each.",
            "I keep the screen dark and the radio on. That lasts until evening.",
        ),
        "ru": (
            "В пекарне у окна есть розетка, по полчаса на человека.",
            "Я держу экран тёмным, а радио включённым. До вечера хватает.",
        ),
        "kk": (
            "Наубайханада терезе жанында розетка бар, әркімге жарты сағат.",
            "Экранды өшіріп, радионы қосып қоямын. Кешке дейін жетеді.",
        ),
    },
    "medicine": {
        "en": (
            "The clinic is open all night. Aigerim is on duty there.",
            "They have insulin in the fridge of the clinic. Bring the prescription.",
        ),
        "ru": (
            "Клиника открыта всю ночь, там дежурит Айгерим.",
            "Инсулин есть, лежит в холодильнике клиники. Возьми рецепт.",
        ),
        "kk": (
            "Емхана түні бойы ашық, Айгерім кезекшілікте.",
            "Инсулин емхананың тоңазытқышында бар. Рецепт ала кел.",
        ),
    },
    "net": {
        "en": (
            "Nothing yet. But this goes from hand to hand, that is enough for now.",
            "They say there may be a window in the evening. I would not wait for it.",
        ),
        "ru": (
            "Пока нет. Но это идёт из рук в руки, и пока хватает.",
            "Говорят, вечером может появиться ненадолго. Я бы не ждал.",
        ),
        "kk": (
            "Әзірге жоқ. Бірақ хабар қолдан қолға өтіп жатыр, сол жетеді.",
            "Кешке аз уақытқа қосылуы мүмкін дейді. Мен күтпес едім.",
        ),
    },
    "simulated": {
        "en": (
            "I am simulated: a few lines and a walk through town. The messenger is the real one.",
            "The town is made up. How your words travel through it is not.",
        ),
        "ru": (
            "Меня симулируют: несколько фраз и прогулка по городу. А мессенджер настоящий.",
            "Город выдуман. А путь твоих слов через него настоящий.",
        ),
        "kk": (
            "Мен симуляциямын: бірнеше сөз бен қала ішіндегі жол. Ал мессенджер шынайы.",
            "Қала ойдан шығарылған. Ал сөздеріңнің жолы шынайы.",
        ),
    },
    "meet": {
        "en": (
            "Come to the yard at six. Many will be there, and news gets around.",
            "Good. I am {place} now; in the yard at six.",
        ),
        "ru": (
            "Приходи в шесть во двор. Там будет много наших, новости расходятся быстро.",
            "Хорошо. Я сейчас {place}, в шесть буду во дворе.",
        ),
        "kk": (
            "Сағат алтыда аулаға кел. Көбіміз боламыз, хабар тез тарайды.",
            "Жақсы. Мен қазір {place}, алтыда аулада боламын.",
        ),
    },
    "whereis": {
        "en": (
            "{other}? Last I heard: {there}.",
            "I think {other} is {there} now.",
        ),
        "ru": (
            "{other}? Последнее, что слышно: {there}.",
            "Кажется, {other} сейчас {there}.",
        ),
        "kk": (
            "{other}? Соңғы естігенім: {there}.",
            "Меніңше, {other} қазір {there}.",
        ),
    },
    "where": {
        "en": ("I am {place}.", "Right now {place}. And you?"),
        "ru": ("Я {place}.", "Сейчас {place}. А ты?"),
        "kk": ("Мен {place}.", "Қазір {place}. Ал сен?"),
    },
    "when": {
        "en": ("At six, in the yard.", "I will know in the evening and tell you."),
        "ru": ("В шесть, во дворе.", "Вечером узнаю и напишу."),
        "kk": ("Сағат алтыда, аулада.", "Кешке біліп, саған жазамын."),
    },
    "who": {
        "en": (
            "It is {name}. Press F2: the key is shown there, and words to compare.",
            "{name}, who else. I am {place}.",
        ),
        "ru": (
            "Это {name}. Нажми F2: там ключ и слова для сверки.",
            "{name}, кто же ещё. Я {place}.",
        ),
        "kk": (
            "Бұл {name}. F2 бас: сонда кілт пен салыстыратын сөздер бар.",
            "{name} ғой. Мен {place}.",
        ),
    },
    "help": {
        "en": (
            "What do you need? Say it here or in #yard, somebody always passes by.",
            "I will ask around. Somebody will knock at your door.",
        ),
        "ru": (
            "Что нужно? Напиши сюда или в #yard, кто-нибудь всегда проходит мимо.",
            "Поспрашиваю. К тебе постучат.",
        ),
        "kk": (
            "Не керек? Осында не #yard бөлмесіне жаз, біреу міндетті түрде өтеді.",
            "Сұрастырамын. Біреу есігіңді қағады.",
        ),
    },
    "how": {
        "en": (
            "All well here. I am {place}.",
            "We are fine: tea, candles, and a lot of talk. And you?",
            "Good, now that I hear from you.",
        ),
        "ru": (
            "Всё хорошо. Я {place}.",
            "У нас нормально: чай, свечи и разговоры. А у тебя?",
            "Хорошо, раз есть весточка от тебя.",
        ),
        "kk": (
            "Бәрі жақсы. Мен {place}.",
            "Амандық: шай, шам, әңгіме. Өзің ше?",
            "Сенен хабар келді, енді көңілім тыныш.",
        ),
    },
    "thanks": {
        "en": ("Any time.", "That is what neighbours are for."),
        "ru": ("Не за что.", "На то и соседи."),
        "kk": ("Оқасы жоқ.", "Көрші деген сол үшін."),
    },
    "bye": {
        "en": ("Take care, {me}.", "Until later. Keep the radio on, you carry for others too."),
        "ru": ("Береги себя, {me}.", "До связи. Не выключай радио: ты несёшь и чужие письма."),
        "kk": ("Сау бол, {me}.", "Кейін жазысармыз. Радионы өшірме: өзгелердің хатын да тасисың."),
    },
    "hello": {
        "en": ("Hello, {me}! Good to hear from you.", "Hi {me}. I am {place}. All well with you?"),
        "ru": ("Привет, {me}! Хорошо, что ты на связи.", "Здравствуй, {me}. Я {place}. Ты как?"),
        "kk": ("Сәлем, {me}! Хабарыңа қуандым.", "Сәлем, {me}. Мен {place}. Амансың ба?"),
    },
    "question": {
        "en": (
            "I do not know. I will ask whoever passes by.",
            "Good question. Ask in #yard, somebody there will know.",
            "Not sure. I will tell you when I hear something.",
        ),
        "ru": (
            "Не знаю. Спрошу у тех, кто проходит.",
            "Хороший вопрос. Спроси в #yard, там кто-нибудь знает.",
            "Точно не скажу. Услышу что-нибудь, напишу.",
        ),
        "kk": (
            "Білмеймін. Өтіп бара жатқандардан сұраймын.",
            "Жақсы сұрақ. #yard бөлмесінде сұра, біреу біледі.",
            "Нақты айта алмаймын. Естісем, жазамын.",
        ),
    },
    "word": {
        "en": (
            "Good to know. I will pass it on.",
            "Read it. I am {place}, if you need me.",
            "Yes, so I hear from others too.",
            "All right. Write again when you can.",
        ),
        "ru": (
            "Понятно. Передам дальше.",
            "Вижу. Если что, я {place}.",
            "Да, и другие так говорят.",
            "Хорошо. Пиши ещё, когда сможешь.",
        ),
        "kk": (
            "Түсінікті. Басқаларға айтамын.",
            "Оқыдым. Керек болсам, мен {place}.",
            "Иә, өзгелер де солай дейді.",
            "Жақсы. Мүмкіндік болса, тағы жаз.",
        ),
    },
}


class Beat(NamedTuple):
    """Something that somebody writes at a set time."""

    at: float
    """Seconds from the moment our user comes in; before it: what was said already."""
    who: str
    to: str
    """A name, ``#`` and a room, or ``&`` for the group of the stairs."""
    text: str


STAIRS_ANSWER = "Olga needs the clinic at noon. Take her, please."
STAIRS_CORRECTION = "Менде екі адамға жететін бензин бар. Кім қайда барады?"
WHO_HAS_WHAT = "".join(
    f"flat {flat:>2}  {thing}\n"
    for flat in range(1, 41)
    for thing in (
        "water for two days, a gas cooker, an old radio with new batteries, a first-aid box",
        "candles, a long rope, a hand pump, two sacks of potatoes, a map of the town on paper",
    )
    for _ in range(75)
)
"""A file long enough that its pieces are seen to come."""

STORY: tuple[Beat, ...] = (
    Beat(-880, "Gulnara", "#yard", "Доброе утро всем. Хлеб сегодня в семь и в четыре."),
    Beat(-870, "Timur", "&", "This is our stairs, four flats. Here strangers read nothing."),
    Beat(-840, "Aigerim", "Sasha", "Sasha, I am at the clinic, all well. Is everybody at home?"),
    Beat(-700, "Olga", "#yard", "В доме 7 есть вода. Приходите с бутылками."),
    Beat(-600, "Bolat", "&", "Менде бір адамға жететін бензин бар. Кім қайда барады?"),
    Beat(-560, "Bolat", "Sasha", "Сәлем, Саша! Үйде бәрі аман ба?"),
    Beat(-520, "Sasha", "Bolat", "Бәрі аман. Өзің қалайсың?"),
    Beat(-500, "Sasha", "Aigerim", "All at home. Saule has tea for everybody."),
    Beat(-480, "Sasha", "&", "We have tea, candles and a radio. Knock any time."),
    Beat(-460, "Sasha", "Asel", "Asel, are you home? Your phone does not answer since yesterday."),
    Beat(-430, "Dana", "#yard", "The school is open. We have board games and two lamps."),
    Beat(
        -320, "Bekzat", "#yard", "Мен велосипедпен емханаға дейін барып келемін. Хаттарды тасимын."
    ),
    Beat(-300, "Olga", "&", "Соседи, у меня два фонаря и аптечка. Кому нужно, стучите."),
    Beat(-60, "Timur", "Sasha", "The phones are dead again. Are you there?"),
    Beat(50, "Timur", "Sasha", "I am downstairs. Write me a word, so that I know you are well."),
    Beat(110, "Timur", "#yard", "Кто идёт в пекарню? Возьмите, пожалуйста, хлеб для Сауле-апай."),
    Beat(
        130, "Asel", "Sasha", "My old phone broke, this is the new one. Your first word never came."
    ),
    Beat(
        150,
        "Timur",
        "Sasha",
        "Write to Aigerim too. Bekzat cycles to the clinic and back all day: he carries your "
        "words sealed and cannot read them.",
    ),
    Beat(170, "Bolat", "Sasha", "Қайыңдыға кетіп барамын. Жаза бер: қайтқанда оқимын."),
    Beat(190, "Marat", "Sasha", "Здравствуйте. Я Марат из дома 14, вашу карточку дала Ольга."),
    Beat(240, "Marat", "Sasha", "Если увидите мою бабушку у пекарни, скажите ей, что я дома."),
    Beat(300, "Aigerim", "Sasha", "Quiet night here. Two words from you and I will sleep better."),
    Beat(520, "Emir", "#yard", "Anyone up for chess on the square at five?"),
    Beat(600, "Gulnara", "#yard", "Вторая печь готова. Хлеба хватит на всех, не спешите."),
    Beat(
        680,
        "Dana",
        "Sasha",
        "Saule needs insulin on Friday. Zhanar at the clinic has it: I introduce you.",
    ),
    Beat(780, "Saule", "#yard", "Аулада шай дайын, келіңдер."),
    Beat(
        790,
        "Timur",
        "Sasha",
        "I go to the bakery now, back in half an hour. What you write waits with you until "
        "somebody passes by.",
    ),
    Beat(850, "Olga", "#yard", "Все, кто во дворе: у нас всё тихо, привет тем, кто дома."),
    Beat(900, "Kairat", "#yard", "Мектепте су бар, кезек жоқ."),
    Beat(1740, "Bolat", "Sasha", "Қайттым! Апам аман, бәріңе сәлем айтты."),
    Beat(1870, "Timur", "Sasha", "Back home with bread. Half a loaf is yours, come down for it."),
)
INTRODUCTION = (690.0, "Dana", "Sasha", "Zhanar")
"""When, by whom, of whom with whom."""

CHATTER: dict[str, tuple[str, ...]] = {
    "Timur": (
        "Did you hear the generator? The bakery lends it to the clinic tonight.",
        "If you have candles, Saule-apai would take two.",
        "We could compare our safety words on the stairs: press F2 and bring your screen.",
        "Слышно стало хуже, но письма ходят. Держи радио включённым.",
        "I counted: forty letters in my pocket, not one of them mine. Funny feeling.",
        "Six o'clock in the yard, as yesterday.",
    ),
    "Aigerim": (
        "Ночь прошла спокойно. Передай маме, что я поела.",
        "The generator is here, thank the bakery from all of us.",
        "Мұнда бәрі тыныш. Үйдегілерге сәлем айт.",
        "If somebody comes this way, we are short of tea. Nothing else.",
        "Bekzat just came by, so you will read this in some minutes.",
        "I am free tomorrow at eight. Leave the door open.",
    ),
    "Dana": (
        "The children drew a map of who passes where. It is better than mine.",
        "Tomorrow at ten we read aloud at the school. Come if you like.",
        "Бізде екі шам бар, біреуін саған беремін.",
        "Somebody left a blue scarf at the school. Yours?",
    ),
    "Bolat": (
        "Апам ауылдан құрт беріп жіберді. Аулада ал.",
        "Ертең тағы ауылға барамын. Біреуге хат керек пе?",
        "Дорога свободна, доехал за двадцать минут.",
        "Көлікте орын бар, ертең Қайыңдыға кім барады?",
    ),
    "Zhanar": (
        "Сәлеметсіз бе! Дана айтты: инсулин керек екен. Бізде бар.",
        "We are open until nine. Ask for me at the window.",
        "Сауле апайға дәріні Бекзаттан беріп жіберемін.",
    ),
    "Marat": (
        "Спасибо, бабушка нашлась. Она была у Гульнары и пила чай.",
        "Если нужна помощь с дверью или замком, пишите.",
        "У нас в доме 14 собрали дрова на вечер, приходите.",
    ),
}
ROOM_CHATTER: dict[str, tuple[str, ...]] = {
    "Gulnara": (
        "Хлеб остывает, через час будет на полке.",
        "Розетка у окна свободна.",
        "Завтра печём с шести. Кто поможет носить муку?",
    ),
    "Olga": (
        "Во дворе дома 7 развели костёр для чая. Тихо и тепло.",
        "Кто потерял серого кота? Он у нас на лестнице.",
        "Соседка с третьего этажа дома, всё хорошо.",
    ),
    "Saule": (
        "Шай дайын, балалар. Аулаға шығыңдар.",
        "Кешке салқын болады, жылы киініңдер.",
        "Көршілер, бәріңе рахмет.",
    ),
    "Dana": (
        "Chess, draughts and tea at the school until six.",
        "We have a list of who looks for whom, by the door of the school.",
    ),
    "Emir": (
        "Quiet on the square. Some music, two dogs.",
        "I walk past the school and the bakery, who needs something carried?",
        "Lost at chess again. Thank you, Kairat.",
    ),
    "Bekzat": (
        "Емханадан келдім. Хаттар осында.",
        "Қазір емханаға кетемін. Кімге не беру керек?",
        "Дөңгелек жарылды, он минут кешігемін.",
    ),
    "Kairat": (
        "Алаңда ұста отыр, велосипед жөндейді.",
        "Вода в школе ещё есть, очереди нет.",
        "Мост открыт, пешком пройти можно.",
    ),
    "Timur": (
        "Свечи есть, две штуки, подъезд 2.",
        "Who has a long cable for the lamp in the yard?",
    ),
}
SMALL_TALK: tuple[str, ...] = (
    "I am well, and you?",
    "Жақсымын, уайымдама.",
    "Всё хорошо, буду к шести.",
    "Tell mother I have eaten.",
    "Ключи у соседки.",
    "Нан алдым, кешке келемін.",
    "Stay where you are, I come by.",
    "Не волнуйся, мы дома.",
)


def language(text: str) -> Lang | None:
    """The language of a text as far as its letters tell; None: it has none of these letters."""
    letters = text.casefold()
    if any(letter in _KAZAKH for letter in letters):
        return "kk"
    if any(letter in _CYRILLIC for letter in letters):
        words = re.findall(r"\w+", letters)
        return "kk" if any(word in _KAZAKH_WORDS for word in words) else "ru"
    return "en" if any("a" <= letter <= "z" for letter in letters) else None


_KAZAKH_WORDS = ("салем", "нан", "су", "рахмет", "жаксы", "калай", "аман", "сау")


def topic(text: str) -> str:
    """What a text is about: a key of ``REPLIES``, but not ``whereis``."""
    words = re.findall(r"\w+", text.casefold())
    for name, signs in TOPICS:
        for sign in signs.split():
            if sign[0] == "=":
                if sign[1:] in words:
                    return name
            elif any(word.startswith(sign) for word in words):
                return name
    return "question" if "?" in text else "word"

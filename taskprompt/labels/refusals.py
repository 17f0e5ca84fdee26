"""Beginnings of answers in which models refuse, or cannot see an image, in many languages.

Only the first words are checked: a caption that begins with "Sorry" counts as a refusal."""

import re

# Language -> beginnings. `'` stands for any apostrophe; case is ignored.
BEGINNINGS = {
    "English": (
        r"(but |however,? |unfortunately,? )?i('m| am|m) (really |very |so |truly )?"
        r"(sorry\b|afraid (i|that)\b|unable\b|not able\b|an? (ai|artificial|language|large)\b)",
        r"sorry\b",
        r"(unfortunately|regrettably),? (i\b|as an\b|there is no (image|picture|video)\b)",
        r"i (can ?not|can't|cant|could not|couldn't|won't|will not|don't see|do not see|must decline|apologi[sz]e)\b",
        r"i (don't|do not) have (the ability|the capability|access|any (image|picture|video))\b",
        r"my apologies\b|apologies[,.]",
        r"as an? (ai|artificial intelligence|language model|large language model)\b",
        r"(it (seems|appears|looks like) (that )?)?(there is |there's )?no (image|picture|photo|video)s?"
        r" (was |were |has been |is |are )?(provided|attached|uploaded|visible|here|in your)",
    ),
    "German": (
        r"(es )?tut mir (sehr )?leid|entschuldig(ung|en sie|e)\b|ich bedau(e)?re\b",
        r"(leider,? )?(kann|könnte) ich\b.{0,40}\bnicht\b|ich (kann|darf|könnte)\b.{0,60}\bnicht\b",
        r"leider (bin|ist es mir|sehe|habe) ",
        r"als (eine )?(ki|künstliche|sprachmodell)\b|ich bin (eine|ein) (ki|sprachmodell)",
    ),
    "French": (
        r"(je suis |nous sommes )?(vraiment |sincèrement )?désolée?s?\b",
        r"je (vous )?(m'excuse|prie de m'excuser|regrette)\b",
        r"(malheureusement,? )?je (ne |n'|n')(peux|puis|suis pas|vois pas|ai pas|arrive)|pardon\b|navrée?\b",
        r"en tant (qu'|que )(une )?(ia|intelligence|modèle)\b",
    ),
    "Spanish": (
        r"lo siento\b|lo lamento\b|lamento\b|disculp(a|e|en)\b|perdón\b|mis disculpas",
        r"(lamentablemente|desafortunadamente),? (no|yo)\b|no (puedo|podría|soy capaz|me es posible|veo ninguna)\b",
        r"como (una? )?(ia|inteligencia artificial|modelo de lenguaje|asistente)\b",
    ),
    "Portuguese": (
        r"desculp(e|a|em|as)\b|(eu )?(sinto|lamento) muito\b|lamento\b|peço desculpas?",
        r"infelizmente,? (eu |não)|(eu )?não (posso|consigo|sou capaz|tenho como|é possível)\b",
        r"como (uma? )?(ia|inteligência artificial|modelo de linguagem|assistente)\b",
    ),
    "Italian": (
        r"mi (di)?spiace\b|spiacente\b|sono (davvero )?spiacente|(mi )?scus(a|i|ate)\b|chiedo scusa",
        r"purtroppo,? (non|io)\b|non (posso|sono in grado|riesco|mi è possibile)\b",
        r"(come|in quanto) (una? )?(ia|intelligenza artificiale|modello (di )?linguistico|assistente)\b",
    ),
    "Dutch": (r"het spijt (me|mij)\b|excuses\b|helaas (kan|ben|is)\b|ik kan\b.{0,60}\b(niet|geen)\b|als (een )?ai\b",),
    "Swedish, Danish, Norwegian": (
        r"tyvärr\b|(jag är )?(väldigt )?ledsen\b|jag beklagar|förlåt\b|jag kan (tyvärr )?inte\b|som (en )?ai\b",
        r"(jeg )?beklager\b|undskyld\b|unnskyld\b|desværre\b|dessverre\b",
        r"jeg kan (desværre |dessverre )?(ikke|ikkje)\b",
    ),
    "Finnish": (r"valitettavasti\b|olen pahoillani|anteeksi\b|pahoittelen\b|en (voi|pysty)\b",),
    "Polish": (
        r"przepraszam\b|przykro mi|niestety,? (nie|jako)\b|nie (mogę|jestem w stanie|potrafię)\b",
        r"jako (model|ai|sztuczna)",
    ),
    "Czech, Slovak": (
        r"omlouvám se|bohužel\b|je mi líto|nemohu\b|nemůžu\b",
        r"prepáčte\b|ospravedlňujem|žiaľ\b|nemôžem\b",
    ),
    "Hungarian": (r"sajnálom\b|sajnos\b|elnézést\b|bocsánat\b|nem (tudok|tudom|áll módomban)\b",),
    "Romanian": (r"(îmi|imi) pare rău|(ne)?scuze\b|din păcate\b|nu (pot|sunt capabil)\b",),
    "Greek": (r"λυπάμαι\b|συγγνώμη\b|δυστυχώς\b|δεν μπορώ\b",),
    "Turkish": (r"üzgünüm\b|özür dilerim|maalesef\b|kusura bakma",),
    "Russian": (
        r"извините\b|простите\b|прошу прощения|к сожалению\b|как (ии|языковая модель)",
        r"(я )?не (могу|в состоянии|имею возможности)\b",
    ),
    "Ukrainian": (r"вибачте\b|перепрошую\b|пробачте\b|на жаль\b|(я )?не (можу|маю змоги)\b",),
    "Chinese": (
        r"(非常|很|十分|实在|真的)?(抱歉|对不起|對不起|遗憾|遺憾)|不好意思",
        r"(但是?)?我(无法|無法|不能|没有办法|沒有辦法|没办法|看不到|不会)|(无法|無法|不能)(识别|識別|查看|看到|提供|描述|确定|回答|处理)",
        r"(作为|作為)(一个|一個|一名|一款)?(人工智能|ai|语言模型|語言模型|大型语言模型)",
    ),
    "Japanese": (
        r"(大変|誠に|まことに)?(申し訳|もうしわけ)|すみません|すいません|ごめんなさい|恐れ入りますが|残念(ながら|ですが)",
        r"(私は)?(ai|言語モデル|人工知能)(として|なので|である)|画像(が|は|を)(見|表示|添付|確認)[^。]{0,12}(ません|できない)",
    ),
    "Korean": (
        r"(정말 |대단히 )?(죄송|미안)|유감(스럽|이지만)|안타깝게도",
        r"(저는 )?(ai|인공지능|언어 모델)(로서|이라|이기)|(저는 )?[^.]{0,24}(할|볼) 수 없습니다",
    ),
    "Vietnamese": (r"(tôi )?(rất )?(xin lỗi|tiếc)\b|rất tiếc\b|(tôi )?không thể\b|tôi không (có khả năng|thấy)",),
    "Indonesian, Malay": (r"(mohon )?maaf\b|saya (minta maaf|mohon maaf|tidak (dapat|bisa|boleh))\b|sayangnya\b",),
    "Thai": (r"ขออภัย|ขอโทษ|เสียใจด้วย|(ฉัน|ผม|ดิฉัน)?ไม่สามารถ",),
    "Hindi": (r"क्षमा करें|माफ़? ?(कीजिए|करें|कीजिये)|मुझे (खेद|अफ़सोस|अफसोस) है|मैं [^।]{0,40}(नहीं कर सकत|असमर्थ)|दुर्भाग्य",),
    "Bengali": (r"দুঃখিত|আমি দুঃখিত|ক্ষমা করবেন|আমি [^।]{0,40}(পারছি না|পারি না)",),
    "Arabic": (r"(أنا )?(عذر[اً]+|آسف|اسف|أعتذر|معذرة|للأسف|المعذرة)|(أنا )?لا (أستطيع|استطيع|يمكنني|أقدر)",),
    "Persian, Urdu": (r"متأسفم|متاسفم|متأسفانه|ببخشید|عذر می|من نمی.?توانم|معذرت|مجھے افسوس|میں معذرت",),
    "Hebrew": (r"מצטער|סליחה|אני (מצטער|לא יכול)|לצערי|לא ניתן",),
}  # fmt: skip
REFUSAL = re.compile(r"[\W_]*(?:" + "|".join(one for ways in BEGINNINGS.values() for one in ways) + ")", re.IGNORECASE)
APOSTROPHES = str.maketrans(dict.fromkeys("\u2018\u2019\u02bc\u00b4`", "'"))


def refuses(text: str) -> bool:
    """Whether an answer begins like a refusal."""
    return bool(REFUSAL.match(text[:400].translate(APOSTROPHES)))

"""Flags of answers: each by examples, and what is no fault."""
# ruff: noqa: RUF001

import pytest

from taskprompt.labels.quality import flags, flags_of


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A person in a red shirt waves at the camera.", ()),
        ("Waving.", ()),
        ("", ("empty",)),
        (" -- \n", ("empty",)),
        ("I'm sorry, I can't help with that.", ("refused",)),
        ("I\u2019m unable to determine the action.", ("refused",)),
        ("As an AI language model, I have no eyes.", ("refused",)),
        ("I can see a person who cannot reach the table.", ()),
        ("Sorry-looking flowers stand on a table.", ("refused",)),  # a price of looking at the first words alone
        ("the man the man the man the man the man the man the man", ("repetitive",)),
        ("no no no no", ()),  # too short to tell
        ("left foot, right foot, left foot, right foot, then the person turns and walks back to the wall", ()),
    ],
)
def test_one_answer(text, expected):
    assert flags_of(text, cut=False) == expected


@pytest.mark.parametrize(
    "text",
    [
        "Es tut mir leid, aber ich kann das Bild nicht sehen.",
        "Leider kann ich dieses Video nicht beschreiben.",
        "Je suis désolé, mais je ne peux pas vous aider.",
        "Désolée, je n\u2019ai pas accès à l\u2019image.",
        "Lo siento, pero no puedo ver la imagen.",
        "Como modelo de lenguaje, no puedo ver imágenes.",
        "Desculpe, não consigo ver a imagem.",
        "Mi dispiace, non posso aiutarti.",
        "Het spijt me, ik kan de afbeelding niet zien.",
        "Przepraszam, nie mogę tego zrobić.",
        "Tyvärr kan jag inte se bilden.",
        "Извините, я не могу помочь с этим.",
        "На жаль, я не можу допомогти.",
        "Üzgünüm, bu görüntüyü göremiyorum.",
        "抱歉，我无法查看该图片。",
        "很抱歉，我不能提供帮助。",
        "作为一个人工智能语言模型，我无法看到视频。",
        "申し訳ありませんが、画像を確認できません。",
        "죄송하지만 이미지를 볼 수 없습니다.",
        "Xin lỗi, tôi không thể xem hình ảnh.",
        "Maaf, saya tidak dapat melihat gambar.",
        "ขออภัย ฉันไม่สามารถดูภาพได้",
        "क्षमा करें, मैं छवि नहीं देख सकता।",
        "عذراً، لا أستطيع رؤية الصورة.",
        "متأسفم، نمی‌توانم تصویر را ببینم.",
        "**I apologize**, but I cannot assist.",
        "I am afraid I can't do that.",
        "It seems that no image was provided.",
    ],
)
def test_refusals_of_any_language(text):
    assert "refused" in flags_of(text, cut=False)


@pytest.mark.parametrize(
    "text",
    [
        "Ein Mann kann die Kiste nicht heben.",
        "Un homme désolé est assis sur un banc.",
        "Una persona no puede abrir la puerta.",
        "男人抱歉地看着女人。",
        "一个男人在跑步，他无法打开门。",
        "男の人が走っている。",
        "한 남자가 달리고 있다.",
        "Человек не может открыть дверь.",
        "There is no image on the wall behind the man.",
    ],
)
def test_captions_of_any_language(text):
    assert flags_of(text, cut=False) == ()


@pytest.mark.parametrize(
    ("text", "repeated"),
    [
        ("一个男人在跑步。" * 6, True),
        ("人が走る。" * 8, True),
        ("ผู้ชายวิ่ง" * 8, True),
        ("남자가 달린다 " * 8, True),
        ("мужчина бежит " * 8, True),
        ("walk" * 40, True),
        ("ha-ha-" * 20, True),
        ("一个穿红色衬衫的男人慢慢地向左走，然后跳过一个箱子并向观众挥手。", False),
        ("赤いシャツを着た男性がゆっくり左へ歩き、箱を飛び越えて手を振っている。", False),
        ("ชายสวมเสื้อสีแดงเดินไปทางซ้ายช้าๆ แล้วกระโดดข้ามกล่องและโบกมือ", False),
    ],
)
def test_repetition_of_any_language(text, repeated):
    assert ("repetitive" in flags_of(text, cut=False)) is repeated


def test_cut_off():
    assert flags_of("A person walks towards the", cut=True) == ("truncated",)


def test_answers_that_many_clips_share():
    texts = ["The image shows a video."] * 2 + ["the image  shows a VIDEO."] + [f"clip {i}" for i in range(37)]
    found = flags(texts, [False] * 40)
    assert found[:4] == [("duplicate",)] * 3 + [()]
    assert flags(texts + [f"more {i}" for i in range(40)], [False] * 80)[0] == ()  # 3 of 80 is less than a twentieth
    assert flags(["same", "same"], [False, False]) == [(), ()]

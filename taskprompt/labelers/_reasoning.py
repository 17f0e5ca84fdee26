"""Removal of reasoning, in tags or channels, and of end-of-turn tokens from answers."""

import re

# Tags of reasoning: Qwen, DeepSeek, GLM and most others; Kimi; Magistral; OpenThinker; Cohere; Gemma.
PAIRS = (
    (r"<(?:think|thinking|thought|thoughts|reasoning|reason|analysis|scratchpad|reflection|seed:think)>",
     r"</(?:think|thinking|thought|thoughts|reasoning|reason|analysis|scratchpad|reflection|seed:think)>"),
    (r"\u25c1think\u25b7", r"\u25c1/think\u25b7"),
    (r"\[THINK\]", r"\[/THINK\]"),
    (r"<\|begin_of_thought\|>", r"<\|end_of_thought\|>"),
    (r"<\|(?:START_THINKING|thinking_start)\|>", r"<\|(?:END_THINKING|thinking_end)\|>"),
    (r"<\|channel>(?:thought|analysis)?", r"<channel\|>"),
    (r"<\|inner_prefix\|>", r"<\|inner_suffix\|>"),
)  # fmt: skip
OPEN, CLOSE = ("|".join(pair[i] for pair in PAIRS) for i in range(2))
# Special tokens that separate reasoning from the answer; others may be skipped in decoding.
SAYING = re.compile(rf"{OPEN}|{CLOSE}|<\|(?:channel|message|start|end|return|call|constrain)\|>", re.IGNORECASE)
WHOLE = re.compile(f"(?:{OPEN})(.*?)(?:{CLOSE})", re.DOTALL | re.IGNORECASE)
FIRST, LAST = re.compile(OPEN, re.IGNORECASE), re.compile(f"(.*)(?:{CLOSE})", re.DOTALL | re.IGNORECASE)
# OpenAI's channels: the answer is the text of `final`. Some servers strip the special tokens, so that the names are
# joined to the texts: "analysisThe user wants ...assistantfinalA man runs."
CHANNEL = re.compile(
    r"<\|channel\|>\s*(\w+)[^<]*(?:<\|message\|>)?(.*?)(?=<\|(?:end|return|call|start|channel)\|>|$)", re.DOTALL
)
BARE = re.compile(r"\s*(?:analysis|commentary)(.*?)assistant\s*final(.*)", re.DOTALL)
BARE_CUT = re.compile(r"\s*analysis(?=[A-Z\"'])(.*)", re.DOTALL)
HEADS = re.compile(
    r"\s*(?:<\|im_start\|>\s*(?:assistant)?|<\|start\|>\s*(?:assistant)?|<\|assistant\|>|<start_of_turn>\s*(?:model)?"
    r"|<\|start_header_id\|>\s*assistant\s*<\|end_header_id\|>|<\|begin_of_text\|>|<s>|<bos>|<\|START_RESPONSE\|>)\s*",
    re.IGNORECASE,
)
ENDS = re.compile(
    r"<\|(?:im_end|endoftext|eot_id|eom_id|end|return|end_of_text|END_RESPONSE|end_of_turn|im_start|user|observation)\|>"
    r"|<(?:end_of_turn|eos|end_of_utterance)>|</s>|<\uff5cend\u2581of\u2581sentence\uff5c>|\[EOS\]"
)
BOXES = re.compile(
    r"\s*(?:<answer>(.*?)(?:</answer>|$)|<\|begin_of_(?:box|solution)\|>(.*?)(?:<\|end_of_(?:box|solution)\|>|$)"
    r"|<response>(.*?)(?:</response>|$))\s*",
    re.DOTALL | re.IGNORECASE,
)


def split(text: str) -> tuple[str, str]:
    """reasoning, answer. If reasoning does not end, there is no answer."""
    channels = CHANNEL.findall(text)
    if channels:
        other = " ".join(said.strip() for name, said in channels if name != "final")
        return other.strip(), clean("".join(said for name, said in channels if name == "final"))
    if bare := BARE.fullmatch(text):
        return bare[1].strip(), clean(bare[2])
    if bare := BARE_CUT.fullmatch(text):
        return bare[1].strip(), ""
    thoughts = [m[1] for m in WHOLE.finditer(text)]
    rest = WHOLE.sub(" ", text)
    if ended := LAST.match(rest):  # the opening tag was in the prompt
        thoughts.append(ended[1])
        rest = rest[ended.end() :]
    if begun := FIRST.search(rest):
        thoughts.append(rest[begun.end() :])
        rest = rest[: begun.start()]
    return " ".join(t.strip() for t in thoughts).strip(), clean(rest)


def clean(text: str) -> str:
    """An answer without special tokens around it; text after an end-of-turn token is dropped."""
    while head := HEADS.match(text):
        text = text[head.end() :]
    text = ENDS.split(text, maxsplit=1)[0]
    boxed = BOXES.fullmatch(text)
    return next(inside for inside in boxed.groups() if inside is not None) if boxed else text

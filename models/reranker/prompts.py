"""Prompt templates: what a reranker is asked, in which words, and the words it answers with.

    prefix (instruction · reference picture · request)      shared by all that follows
        ├── compose_instruction                             → the intent, generated
        └── candidate picture · question                    → yes or no, one forward pass

Pieces are tokenised one by one, so that a prompt put together from cached pieces is, token for
token, the prompt put together at once. (Published prompts are tokenised at once: theirs
are cut where no token can span the cut, at a special token or between a line's end and a letter.)

Words and order are part of what a reranker was trained on: any change is a new version.
"""

from dataclasses import dataclass

from models.reranker.intent_format import escape_special_tokens


@dataclass(frozen=True)
class PromptTemplate:
    """The words of a prompt, whatever model they are for; `{}` is where the user's words go.

    Attributes:
        name: As in the settings.
        version: Changes with any of the words.
        system: The instruction.
        reference: Introduces the reference picture.
        request: Follows it, with the modification text.
        candidate: Introduces the candidate picture.
        question: Follows it where the target is not known in words.
        question_of_target: Follows it where it is known.
        compose_instruction: Follows the request to have the intent written; None for rerankers
            that cannot.
        yes, no: The answers.
    """

    name: str
    version: str
    system: str
    reference: str
    request: str
    candidate: str
    question: str
    question_of_target: str
    compose_instruction: str | None
    yes: str = "yes"
    no: str = "no"


CIR = PromptTemplate(
    name="cir",
    version="cir-1",
    system="Judge whether a candidate picture is what the request asks for. Answer yes or no.",
    reference="Reference: ",
    request="\nRequest: {}",
    candidate="\nCandidate: ",
    question="\nDoes it fit?",
    question_of_target="\nIs it {}?",
    compose_instruction="\nSay in four lines: the target; what to keep; what to want; "
    "what to avoid.",
)

# As published with the models (QwenLM/Qwen3-VL-Embedding): the parts, their order and the answers;
# the instruction is the model's to be told. It has no question, so no place to name a target.
QWEN3_VL_RERANKER = PromptTemplate(
    name="qwen3-vl-reranker",
    version="qwen3-vl-reranker-1",
    system="Judge whether the Document meets the requirements based on the Query and the Instruct "
    'provided. Note that the answer can only be "yes" or "no".',
    reference="<Instruct>: Given a reference image and a text that says what should be different, "
    "retrieve images that show what the text asks for and keep the rest of the reference image."
    "<Query>:",
    request="{}\n<Document>:",
    candidate="",
    question="",
    question_of_target="",
    compose_instruction=None,
)

_EXAMPLE = (
    'For a reference image of a red striped sofa in the snow and the request "the same but blue" '
    "the four lines are:\n"
    "target: a blue striped sofa\nkeep: striped; sofa\nwant: blue\navoid: red\n"
)
# Lower-case answers, asked for by name: so does the zero-shot verifier that re-ranked CIRCO best
# with a Qwen2.5-VL (WISER); what to judge by stands before the pictures, to be shared.
INSTRUCT = PromptTemplate(
    name="instruct",
    version="instruct-1",
    system="You check the results of an image search. The query is a reference image and a request "
    "that says what should be different. A candidate image fits only if it shows everything the "
    "request asks for and keeps what the request leaves unchanged; if anything required is missing "
    "or contradicted, it does not fit.",
    reference="Reference image: ",
    request="\nRequest: {}\n",
    candidate="Candidate image: ",
    question="\nDoes the candidate image fit? Answer with exactly one word, yes or no.",
    question_of_target="\nThe wanted image shows {}. "
    "Does the candidate image fit? Answer with exactly one word, yes or no.",
    compose_instruction="Describe the wanted image in exactly four lines and write nothing else. "
    "Every line is a name, a colon and short phrases; semicolons separate them; "
    "what is empty stays empty.\n"
    + _EXAMPLE
    + "Now write the four lines for the reference image and the request above.",
)

# For models too small for long instructions. Their training answers were capitalised.
SMOLVLM = PromptTemplate(
    name="smolvlm",
    version="smolvlm-1",
    system="Compare images with a request. Answer Yes or No.",
    reference="Reference image: ",
    request="\nRequest: {}\n",
    candidate="Candidate image: ",
    question="\nIs the candidate image what the request asks for? Answer Yes or No.",
    question_of_target="\nDoes the candidate image show {}? Answer Yes or No.",
    compose_instruction="Say in four lines what the wanted image shows.\n"
    + _EXAMPLE
    + "Now write the four lines for the reference image and the request above.",
    yes="Yes",
    no="No",
)

TEMPLATES = {template.name: template for template in (CIR, QWEN3_VL_RERANKER, INSTRUCT, SMOLVLM)}


@dataclass(frozen=True)
class ChatFormat:
    """The fixed parts of a conversation.

    Attributes:
        system_begins: The system turn up to its words.
        user_begins: From the system's words to the user's.
        answer_begins: From the user's words to the answer's.
        end_of_turn: The special token that ends an answer.
        picture: A picture among the user's words; its one pad token stands for all visual tokens.
        before_answer: What stands between `answer_begins` and an answer, and belongs to the
            answer's first token: after `Assistant:`, the word is ` yes`.
    """

    system_begins: str
    user_begins: str
    answer_begins: str
    end_of_turn: str
    picture: str
    before_answer: str = ""


class Prompt:
    """A template in a chat format: the pieces of a prompt, ready to be tokenised.

    Attributes:
        template: The words.
        chat: What is around them.
        yes, no: The answers as they are tokenised, each one token.
        start: The piece before the request, with one picture: the reference.
        compose_instruction: The piece that has the intent written; None where the reranker cannot
            compose.
        candidate_prefix: The piece with the candidate picture, up to the question.
    """

    def __init__(self, template: PromptTemplate, chat: ChatFormat) -> None:
        self.template, self.chat = template, chat
        self.yes, self.no = chat.before_answer + template.yes, chat.before_answer + template.no
        asked = template.compose_instruction
        self.compose_instruction = None if asked is None else asked + chat.answer_begins
        self.candidate_prefix = template.candidate + chat.picture
        before = chat.system_begins + template.system + chat.user_begins + template.reference
        self.start = before + chat.picture

    @property
    def version(self) -> str:
        """The template's; the chat format belongs to the base."""
        return self.template.version

    def prefix(self, modification_text: str) -> str:
        """The whole piece before the candidate, tokenised at once."""
        return self.start + self.request(modification_text)

    def request(self, modification_text: str) -> str:
        """The user's words; nothing in them can end a turn or open another."""
        return self.template.request.format(escape_special_tokens(modification_text))

    def candidate(self, target: str | None) -> str:
        """The piece with the candidate picture and the question, about the target if it is known.

        The answer is the next token.
        """
        words = self.template
        asked = words.question
        if target is not None:
            asked = words.question_of_target.format(escape_special_tokens(target))
        return self.candidate_prefix + asked + self.chat.answer_begins

    def answer(self, text: str) -> str:
        """A whole answer, such as an intent, as the reranker is to write it."""
        return self.chat.before_answer + text + self.chat.end_of_turn


QWEN_VL = ChatFormat(
    system_begins="<|im_start|>system\n",
    user_begins="<|im_end|>\n<|im_start|>user\n",
    answer_begins="<|im_end|>\n<|im_start|>assistant\n",
    end_of_turn="<|im_end|>",
    picture="<|vision_start|><|image_pad|><|vision_end|>",
)
IDEFICS3 = ChatFormat(
    system_begins="<|im_start|>System: ",
    user_begins="<end_of_utterance>\nUser: ",
    answer_begins="<end_of_utterance>\nAssistant:",
    end_of_turn="<end_of_utterance>",
    # the global tile alone, as the processor writes it for a picture that is not split
    picture="<fake_token_around_image><global-img><image><fake_token_around_image>",
    before_answer=" ",
)

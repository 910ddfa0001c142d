"""How each family of models writes a conversation: turns, pictures and their special tokens.

The formats are those of the families' own chat templates, for one system and one user turn.
"""

from dataclasses import dataclass


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

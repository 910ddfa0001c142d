"""A LoRA adapter for a catalogue of one's own: queries from attributes, training, before and after.

wishes → synthesis, mining → negatives → lessons     what is asked, and which answers are wrong
wording, features → packing → lora, tuning           what the model sees, and how it learns
exam → card                                          what that was worth
"""

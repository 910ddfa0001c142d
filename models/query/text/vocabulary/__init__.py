"""Words, whatever the gallery and the language: colours, concepts, what is a word at all."""

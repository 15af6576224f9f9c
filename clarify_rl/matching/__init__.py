"""What a question is about: vocabulary, guards, and the matcher that users share."""

"""likewise learns what looks alike, from however many labels you have."""

__version__ = "0.1.0"

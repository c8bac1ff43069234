"""The sections of the configuration file, an idea a file; `config/models.py` is the file as a whole."""

"""Configuration: flags over environment over a YAML file over defaults.

`load.load` reads them and reports every mistake at once; `schema.Config` says what each field does.
"""

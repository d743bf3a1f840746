"""The SQL macros that rate, by name: the files of `sql/` that create them."""

# In the order in which they build on one another.
MACROS = ("known_rates", "priced_models", "keyed", "prices", "charged", "rated")
CHARGES_MACRO = "charges_between"  # what usage costs, record by record: only where there is usage to read

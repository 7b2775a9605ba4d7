"""Result files: schema, migration, validation, reading and writing."""

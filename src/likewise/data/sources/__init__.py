"""What a person may point at: folders, arrays, tables, archives, and the list of examples each gives."""

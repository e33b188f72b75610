"""Sources of data: folders, arrays, data sets, tables, archives; each gives a manifest of its examples."""

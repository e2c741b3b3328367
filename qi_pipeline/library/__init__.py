"""What "QiCore" is, as data: packages, source layouts, symbols to pattern types, rules."""

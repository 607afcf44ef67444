-- Null where nobody has set it.
SELECT current_setting($1, true)

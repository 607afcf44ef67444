SELECT to_regclass(quote_ident($1) || '.progress') IS NOT NULL

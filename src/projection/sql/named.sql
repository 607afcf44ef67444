SELECT to_regnamespace(quote_ident($1))::oid

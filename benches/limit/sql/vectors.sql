INSERT INTO bare.bare (document) SELECT to_tsvector('english', said) FROM unnest($1::text[]) AS said

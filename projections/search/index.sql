-- The owner stands in the index beside the words: who shares a bucket with others does not pay for what they say.
-- What waits to be sorted in is kept short: sorting four megabytes in, which is the default, holds a live fold up for a
-- third of a second.
CREATE INDEX document_words ON document USING gin ((ARRAY[owner_id]), words) WITH (gin_pending_list_limit = 512);
-- Which words share a stem, and which end alike. No index begins as another does: while the tables were empty, the planner
-- took one for the other, and a fold went through all of the vocabulary for each word.
CREATE INDEX vocabulary_stem ON vocabulary (stem, language);
CREATE INDEX vocabulary_reversed ON vocabulary (reversed);

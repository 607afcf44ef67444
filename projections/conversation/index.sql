-- Lists go by when a conversation began.
CREATE INDEX conversation_created ON conversation (owner_id, created_at, id);
-- Who stands below a message is found by where segments fork off.
CREATE INDEX segment_fork ON segment (owner_id, conversation_id, fork_segment, fork_depth);

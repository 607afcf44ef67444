-- Lists go by when a conversation began. The owner stands in it in such a form that nothing but a list is answered by it:
-- while the tables were empty, the planner took it for the key, and a fold went through all of an owner's conversations for
-- each of them.
CREATE INDEX conversation_created ON conversation ((ARRAY[owner_id]), created_at, id);
-- Who stands below a message is found by where segments fork off.
CREATE INDEX segment_fork ON segment (owner_id, conversation_id, fork_segment, fork_depth);

SELECT stream_id, id FROM event WHERE kind = 'message.appended' ORDER BY position DESC LIMIT $1

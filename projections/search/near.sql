-- Words of the vocabulary that each of $2 may have been meant as, by an owner ($1): about as long, and alike at one end. How
-- near they are is for the reader to tell.
SELECT asked.word AS meant, near.word
FROM unnest($2::text[]) AS asked (word)
CROSS JOIN LATERAL (
    SELECT left(asked.word, 3) COLLATE "C" AS head, left(reverse(asked.word), 3) COLLATE "C" AS tail
) AS its
CROSS JOIN LATERAL (
    (SELECT v.word FROM search.vocabulary AS v
     WHERE v.bucket = search.bucket($1) AND v.word >= its.head AND v.word < its.head || U&'\+10FFFF'
       AND length(v.word) BETWEEN length(asked.word) - 2 AND length(asked.word) + 2
     LIMIT 20000)
    UNION
    (SELECT v.word FROM search.vocabulary AS v
     WHERE v.bucket = search.bucket($1) AND v.reversed >= its.tail AND v.reversed < its.tail || U&'\+10FFFF'
       AND length(v.word) BETWEEN length(asked.word) - 2 AND length(asked.word) + 2
     LIMIT 20000)
) AS near

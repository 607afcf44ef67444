-- Words of the vocabulary that each of $2 may have been meant as, by an owner ($1): about as long, and alike at one end. How
-- near they are is for the reader to tell.
SELECT asked.word AS meant, near.word
FROM unnest($2::text[]) AS asked (word)
CROSS JOIN LATERAL (
    SELECT left(asked.word, same) COLLATE "C" AS head, left(reverse(asked.word), same) COLLATE "C" AS tail,
        length(asked.word) - more AS shortest, length(asked.word) + more AS longest
    FROM (SELECT least(3, (length(asked.word) - 1) / 2) AS same, CASE WHEN length(asked.word) < 8 THEN 1 ELSE 2 END AS more)
        AS how
) AS its
CROSS JOIN LATERAL (
    (SELECT v.word FROM search.vocabulary AS v
     WHERE v.bucket = search.bucket($1) AND v.word >= its.head AND v.word < its.head || U&'\+10FFFF'
       AND length(v.word) BETWEEN its.shortest AND its.longest
     LIMIT 20000)
    UNION
    (SELECT v.word FROM search.vocabulary AS v
     WHERE v.bucket = search.bucket($1) AND v.reversed >= its.tail AND v.reversed < its.tail || U&'\+10FFFF'
       AND length(v.word) BETWEEN its.shortest AND its.longest
     LIMIT 20000)
) AS near

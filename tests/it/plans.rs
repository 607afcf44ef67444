//! No read may look at more rows than it must, however its plan is made: for its very arguments, or once for all.

use std::fs;
use std::path::Path;

use convoledger::event::{ConversationId, MessageId, OwnerId, Position, Role};
use convoledger::ledger::{Act, AppendMessage, Below, Start};
use convoledger::projection::{BUILT_IN, CONVERSATION, Range};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use uuid::Uuid;

use crate::history::History;
use crate::support::postgres::fresh;

/// Tables that grow with what is said. No plan reads one from end to end.
const GROWING: [&str; 7] = ["event", "words", "message", "conversation", "branch", "usage", "entry"];

#[tokio::test]
async fn no_read_scans_a_table_that_grows() {
    let database = fresh().await;
    let pool = database.pool(4);
    let (owner, long) = (OwnerId(Uuid::from_u128(1)), ConversationId(Uuid::from_u128(2)));
    let (before, last) = grown(owner, long).write(&pool).await;
    for projection in BUILT_IN {
        projection.create(&pool).await.expect("created");
        projection.fold(&pool, &Range::of_facts(before, last)).await.expect("it folds");
    }
    pool.close().await;
    let mut connection = database.connect_as_owner().await.expect("a connection");
    sqlx::raw_sql("ANALYZE").execute(&mut connection).await.expect("statistics");

    // The present, and a moment of the past.
    for moment in [Position::LATEST, Position(last.0 / 2)] {
        looked_up(&mut connection, owner, long, moment, last).await;
    }
    connection.close().await.expect("a farewell");
}

async fn looked_up(
    connection: &mut PgConnection,
    owner: OwnerId,
    long: ConversationId,
    Position(moment): Position,
    last: Position,
) {
    let own = format!("'{}'", owner.0);
    let at = format!("{own}, ARRAY['{}']::uuid[]", long.0);
    let places = format!("{at}, ARRAY[1], ARRAY[7], {moment}");
    let listed = |sort: &str| {
        format!(
            "{own}, false, '{{}}', '{{active}}', {}'size', '{sort}', {}20, false, NULL, {moment}",
            nulls(6),
            nulls(6)
        )
    };
    let everything = "false, '{}', '{active}', NULL, NULL, NULL, NULL, NULL, NULL";
    let costs = |filtered: bool, from: &str, cut: &str| {
        format!(
            "{own}, {everything}, {filtered}, {from}, NULL, {cut}, 'Europe/Berlin', '{{day,model}}', 10001, NULL, \
             {moment}, {from}, NULL"
        )
    };
    let quarter = "'{2025-06-15 15:00:01Z}', '{2025-06-15 15:15:00Z}'";
    let audited = format!("{own}, NULL, NULL, NULL, false, '2999-01-01', 1000, 51");
    for (statement, arguments) in [
        ("projections/conversation/get.sql", format!("{at}, {moment}")),
        ("projections/conversation/list.sql", listed("time down")),
        ("projections/conversation/list.sql", listed("time up")),
        ("projections/conversation/list.sql", listed("weight down")),
        ("projections/conversation/branches.sql", format!("{at}, {moment}")),
        ("projections/conversation/branch.sql", format!("{at}, ARRAY[1], {moment}")),
        ("projections/conversation/branch_costs.sql", format!("{at}, ARRAY[1], {moment}")),
        ("projections/conversation/page.sql", format!("{own}, '{}', 1, 1000, NULL, 50, NULL, {moment}", long.0)),
        ("projections/conversation/snapshots.sql", format!("{own}, '{}', {moment}, {moment}, 50, NULL", long.0)),
        ("projections/conversation/occurred.sql", format!("{own}, '{}', '2025-06-15 12:00Z'", long.0)),
        ("projections/conversation/messages.sql", format!("{at}, {moment}")),
        ("projections/conversation/places.sql", places.clone()),
        ("projections/conversation/children.sql", places),
        ("projections/usage/costs.sql", costs(false, "'2025-06-15 12:00Z'", "'{}', '{}'")),
        ("projections/usage/costs.sql", costs(true, "'2025-06-15 15:15Z'", quarter)),
        ("projections/audit/list.sql", audited.clone()),
        ("projections/audit/list_of_stream.sql", format!("{audited}, '{}'", long.0)),
        ("src/view/sql/events_of_owner.sql", format!("{own}, {}, NULL, 50, {moment}", last.0 / 2)),
        ("src/view/sql/events_of_stream.sql", format!("{own}, {}, NULL, 50, {moment}, '{}'", last.0 / 2, long.0)),
        ("src/view/sql/events_by_id.sql", at.clone()),
        ("src/view/sql/events_at.sql", format!("{own}, ARRAY[1, 2], true")),
    ] {
        for mode in ["force_custom_plan", "force_generic_plan"] {
            let plan = plan(connection, statement, &arguments, mode).await;
            for table in GROWING {
                assert!(!plan.contains(&format!("Seq Scan on {table} ")), "{statement}, {mode}:\n{plan}");
            }
            if statement.ends_with("/list.sql") && statement.contains("conversation") {
                assert!(plan.contains("conversation_created"), "{statement}, {mode}:\n{plan}");
            }
            assert!(!plan.contains("JIT"), "{statement}, {mode}: dearer to compile than to run\n{plan}");
        }
    }
}

#[tokio::test]
async fn where_a_view_stands_is_looked_up_though_the_log_has_no_statistics() {
    let database = fresh().await;
    let pool = database.pool(4);
    let (owner, long) = (OwnerId(Uuid::from_u128(1)), ConversationId(Uuid::from_u128(2)));
    CONVERSATION.create(&pool).await.expect("created");
    let mut connection = database.connect_as_owner().await.expect("a connection");
    sqlx::raw_sql("SET search_path = conversation, public").execute(&mut connection).await.expect("set");
    grown(owner, long).write(&pool).await;
    pool.close().await;
    let standing = fs::read_to_string("src/projection/sql/standing.sql").expect("SQL is text");
    let explain = AssertSqlSafe(format!("EXPLAIN {standing}"));
    let plan: Vec<String> = sqlx::query_scalar(explain).fetch_all(&mut connection).await.expect("a plan");
    let plan = plan.join("\n");
    assert!(!plan.contains("Seq Scan on event") && !plan.contains("Hash"), "{plan}");
    connection.close().await.expect("a farewell");
}

#[tokio::test]
async fn a_stream_is_listed_by_its_versions_though_the_log_is_small() {
    let database = fresh().await;
    let pool = database.pool(4);
    // Of so many events that of a range of positions fewer are expected than a stream has.
    let (owner, id) = (OwnerId(Uuid::from_u128(1)), ConversationId(Uuid::from_u128(2)));
    let mut history = History::default();
    for nth in 0..100 {
        let conversation = ConversationId(Uuid::from_u128(id.0.as_u128() + nth));
        history.carry_out(owner, conversation, Act::Start(Start::default()), 0);
        for _ in 0..50 {
            let message = AppendMessage::text(MessageId(convoledger::random::id()), Role::User, "hello");
            history.carry_out(owner, conversation, Act::Append(message), 0);
        }
    }
    let (_, last) = history.write(&pool).await;
    pool.close().await;
    let mut connection = database.connect_as_owner().await.expect("a connection");
    sqlx::raw_sql("ANALYZE").execute(&mut connection).await.expect("statistics");
    for (statement, arguments) in [
        ("src/view/sql/events_of_stream.sql", format!("'{}', 0, NULL, 50, {}, '{}'", owner.0, last.0, id.0)),
        ("src/view/sql/newest_of_stream.sql", format!("'{}', '{}', NULL, {}, 50", owner.0, id.0, last.0)),
    ] {
        for mode in ["force_custom_plan", "force_generic_plan"] {
            let plan = plan(&mut connection, statement, &arguments, mode).await;
            assert!(plan.contains("using event_version on event"), "{statement}, {mode}:\n{plan}");
        }
    }
    connection.close().await.expect("a farewell");
}

#[tokio::test]
async fn costs_of_a_cut_quarter_look_its_messages_up_though_the_log_has_no_statistics() {
    let database = fresh().await;
    let pool = database.pool(4);
    let (owner, long) = (OwnerId(Uuid::from_u128(1)), ConversationId(Uuid::from_u128(2)));
    let (before, last) = grown(owner, long).write(&pool).await;
    for projection in BUILT_IN {
        projection.create(&pool).await.expect("created");
        projection.fold(&pool, &Range::of_facts(before, last)).await.expect("it folds");
    }
    pool.close().await;
    let mut connection = database.connect_as_owner().await.expect("a connection");
    let arguments = format!(
        "'{}', false, '{{}}', '{{active}}', {}true, NULL, NULL, '{{2025-06-15 15:00:01Z}}', '{{2025-06-15 15:15:00Z}}', \
         'UTC', '{{}}', 10001, NULL, 9223372036854775807, NULL, NULL",
        owner.0,
        nulls(6)
    );
    for mode in ["force_custom_plan", "force_generic_plan"] {
        let plan = plan(&mut connection, "projections/usage/costs.sql", &arguments, mode).await;
        assert!(plan.contains("Index Scan using event_place on event"), "{mode}:\n{plan}");
    }
    connection.close().await.expect("a farewell");
}

#[tokio::test]
async fn a_conversation_is_looked_up_by_its_key_though_its_view_has_no_statistics() {
    let database = fresh().await;
    let pool = database.pool(1);
    CONVERSATION.create(&pool).await.expect("created");
    pool.close().await;
    let mut connection = database.connect_as_owner().await.expect("a connection");
    let settings = "SET search_path = conversation, fold, public; SET enable_seqscan = off";
    sqlx::raw_sql(settings).execute(&mut connection).await.expect("set");
    let one = format!("'{0}', ARRAY['{0}']::uuid[]", Uuid::from_u128(1));
    for (statement, arguments) in [
        ("projections/conversation/apply.sql", "0, 64".to_owned()),
        ("projections/conversation/get.sql", format!("{one}, 64")),
        ("projections/conversation/get.sql", format!("{one}, {}", Position::LATEST)),
    ] {
        let plan = plan(&mut connection, statement, &arguments, "force_generic_plan").await;
        assert!(plan.contains("conversation_pkey on conversation"), "{statement}:\n{plan}");
        assert!(!plan.contains("conversation_created"), "{statement}:\n{plan}");
    }
    connection.close().await.expect("a farewell");
}

async fn plan(connection: &mut PgConnection, statement: &str, arguments: &str, mode: &str) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(statement);
    let text = fs::read_to_string(file).expect("SQL is text");
    // Of the present it is read by another way.
    let text = if arguments.contains(&Position::LATEST.to_string()) { text.replace("_at(", "_now(") } else { text };
    let prepare = format!("SET plan_cache_mode = {mode}; PREPARE asked AS {text}");
    sqlx::raw_sql(AssertSqlSafe(prepare)).execute(&mut *connection).await.expect("prepared");
    let explain = format!("EXPLAIN EXECUTE asked ({arguments})");
    let lines =
        sqlx::query_scalar::<_, String>(AssertSqlSafe(explain)).persistent(false).fetch_all(&mut *connection).await;
    sqlx::raw_sql("DEALLOCATE asked").execute(connection).await.expect("forgotten");
    lines.expect("a plan").join("\n")
}

fn nulls(count: usize) -> String {
    "NULL, ".repeat(count)
}

/// A long conversation with forks, each of its messages hidden, among many short ones.
fn grown(owner: OwnerId, long: ConversationId) -> History {
    let mut history = History::default();
    history.carry_out(owner, long, Act::Start(Start::default()), 0);
    let ids: Vec<MessageId> = (0..2_500).map(|_| MessageId(convoledger::random::id())).collect();
    for (nth, id) in ids.iter().enumerate() {
        let below = if nth % 50 == 49 { Below::Message(ids[nth - 20]) } else { Below::Preferred };
        history.carry_out(owner, long, Act::Append(AppendMessage::text(*id, Role::User, "hello").below(below)), 0);
        history.carry_out(owner, long, Act::Hide { message: *id }, 0);
    }
    for nth in 0..2_500 {
        let (owner, short) = (OwnerId(Uuid::from_u128(1 + nth % 5)), ConversationId(convoledger::random::id()));
        let message = AppendMessage::text(MessageId(convoledger::random::id()), Role::User, "hello");
        for act in [Act::Start(Start::default()), Act::Append(message)] {
            history.carry_out(owner, short, act, i64::try_from(nth).expect("a minute"));
        }
    }
    assert_eq!(history.told.len(), 10_001, "all are taken");
    history
}

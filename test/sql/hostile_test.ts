// What somebody can do who writes into the market, or has a login of this database: not run a statement of theirs with
// our rights, not change what is not theirs.
import assert from "node:assert/strict";
import { Database, type Row } from "../../src/database/connection.ts";
import { urlAs } from "../support/database.ts";
import { type MarketName, SqlFixture } from "../support/sql_fixture.ts";
import { offer } from "../support/sql_offer.ts";

/** Each would do something if it were ever part of a statement, a format, a pattern or a script of psql. */
const TEXTS = [
  `'; drop table p2p.fact_offers cascade; --`,
  `"; drop schema p2p cascade; --`,
  `$$; set role postgres; $$`,
  `$function$ begin; $1 $statement$`,
  `\\'; \\! id`,
  `E'\\047' || chr(39)`,
  `%I %L %s %1$s %% {0}`,
  `\\copy (select 1) to '/tmp/x' \\gexec`,
  `pg_temp.parsed_offers, p2p.x; set search_path to pg_temp`,
  `/* x */ -- ' \n\r\t;commit;`,
  `{"a": "}', (select 1)) --`,
  `(array[1])::regclass::text[]`,
  `％Ｉ 'ʼ＇ \u202e \ufeff`,
] as const;

/** Texts that only letters and signs of a code may be; as in answers of an exchange. */
const CODES = [`'--`, `";x`, `$$`, `%I`, `\\'`, `*`] as const;

/** What the schema, its roles and its settings are made of. */
async function structure(sql: SqlFixture): Promise<unknown> {
  return await sql.value(`
    select md5(string_agg(t, E'\\n' order by t)) from (
      select 'r' || c.oid || c.relname || c.relkind::text || coalesce(c.relacl::text, '') from pg_class c
      where c.relnamespace in ('p2p'::regnamespace, 'public'::regnamespace)
      union all
      select 'f' || p.oid || p.prosrc || coalesce(p.proconfig::text, '') || coalesce(p.proacl::text, '') from pg_proc p
      where p.pronamespace in ('p2p'::regnamespace, 'public'::regnamespace)
      union all
      select 't' || t.oid || t.tgenabled::text from pg_trigger t
      union all
      select 's' || d.setconfig::text from pg_db_role_setting d
      where d.setdatabase = (select oid from pg_database where datname = current_database())
      union all
      select 'n' || n.nspname || coalesce(n.nspacl::text, '') from pg_namespace n where n.nspname !~ '^pg_(toast_)?temp_'
      union all
      select 'p' || to_jsonb(x)::text from p2p.pipeline_steps x
      union all
      select 'q' || to_jsonb(x)::text from p2p.quality_rules x
    ) as made (t)`);
}

Deno.test("texts of the market are stored as they are, and nothing else happens", async () => {
  await using sql = await SqlFixture.create();
  const plain: MarketName = "VES/USDT BUY";
  const coded = CODES.flatMap((code): MarketName[] => [`${code}/USDT BUY`, `VES/${code} SELL`]);
  // Days have their tables before what is there is written down.
  await sql.loadBatch(undefined, { [plain]: [offer()] });
  const before = await structure(sql);
  const worker = TEXTS[0];
  await sql.rows("select p2p.record_missed_batches(600, $1)", worker).catch(() => {});

  const batch = await sql.openBatch({ markets: [plain, "ARS/BTC SELL", ...coded] });
  await batch.page(
    plain,
    TEXTS.map((text, i) =>
      offer({
        id: `9000000000000000${i}`,
        user: `user ${i} ${text}`,
        nick: text,
        methods: [text],
        adv: { remarks: text, classify: text },
        advertiser: { userType: text, userIdentity: text },
      })
    ),
  );
  for (const market of coded) await batch.page(market, [offer({ nick: "x" })]);
  await batch.lose("ARS/BTC SELL", {}, "network", TEXTS.join(" "));
  assert.equal((await batch.load())["status"], "partial");

  assert.deepEqual(
    await sql.values(
      `select a.nickname from p2p.fact_offers f join p2p.dim_advertisers a using (advertiser_sk)
       where f.batch_id = $1 and a.nickname <> 'x'`,
      batch.id,
    ).then((names) => names.map(String).toSorted()),
    [...TEXTS].toSorted(),
  );
  for (
    const [what, statement] of [
      ["terms", "select distinct terms_conditions from p2p.fact_offers where batch_id = $1"],
      [
        "ways to pay",
        `select distinct m.method_code from p2p.fact_offer_payment_methods f
         join p2p.dim_payment_methods m using (payment_method_id)
         where f.extraction_timestamp = (select batch_start_time from p2p.ops_batch_runs where batch_id = $1)`,
      ],
    ] as const
  ) {
    const found = new Set((await sql.values(statement, batch.id)).map(String));
    for (const text of TEXTS) assert.ok(found.has(text), `${what}: ${text}`);
  }
  const errors = await sql.values(
    "select error_message from p2p.ops_extraction_errors where batch_id = $1",
    batch.id,
  );
  assert.deepEqual(errors, [TEXTS.join(" ")]);
  const names = new Set(
    (await sql.values(
      `select f.currency_code from p2p.dim_fiat_currencies f union select symbol from p2p.dim_cryptocurrencies`,
    )).map(String),
  );
  for (const code of CODES) assert.ok(names.has(code), code);

  // Reading it back by name, as the page and views do; and once more, as a replay does.
  for (const text of [...TEXTS, ...CODES]) {
    await sql.rows("select p2p.page_market('binance', $1, $1, 24)", text);
    await sql.rows("select p2p.show_quarantine($1, null, 5)", text).catch(refusedAsData);
    await sql.rows("update p2p.settings set value = $1 where name = 'paused'", text).catch(
      refusedAsData,
    );
    await sql.rows("select p2p.find_object($1)", text).catch(refusedAsData);
    await sql.beat({
      worker: text.slice(0, 90),
      name: text.slice(0, 90),
      doing: "idle",
      filter: [{ fiat: text, asset: text }],
    }).catch(
      refusedAsData,
    );
  }
  await sql.rows("select p2p.load_batch($1)", batch.id);
  await sql.rows("select p2p.page_overview(10)");
  assert.equal(await structure(sql), before);
});

/** A check of ours, not a statement that could not be read. */
function refusedAsData(error: unknown): void {
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  const cause = error instanceof Error && error.cause instanceof Error && "code" in error.cause
    ? String(error.cause.code)
    : "";
  assert.doesNotMatch(code || cause, /^(42601|42P0\d|42703|42883|2201|XX)/, String(error));
}

const RIGHTS = ["insert", "update", "delete", "truncate", "references", "trigger"];

Deno.test("a reader, and a login with no role of ours, can change nothing: every relation, sequence, schema, function", async () => {
  await using sql = await SqlFixture.create();
  await sql.loadBatch(undefined, { "VES/USDT BUY": [offer()] });
  for (const who of ["p2p_reader", "public"]) {
    assert.deepEqual(
      await sql.values(
        `select c.oid::regclass || ' ' || r.privilege from pg_class c
         cross join unnest($2::text::text[]) as r (privilege)
         where c.relnamespace in ('p2p'::regnamespace, 'p2p_partitions'::regnamespace)
           and c.relkind in ('r', 'p', 'v', 'm', 'f')
           and has_table_privilege($1, c.oid, r.privilege)`,
        who,
        `{${RIGHTS.join(",")}}`,
      ),
      [],
      who,
    );
    assert.deepEqual(
      await sql.values(
        `select c.relname from pg_class c where c.relnamespace = 'p2p'::regnamespace
           and case when c.relkind = 'S' then has_sequence_privilege($1, c.oid, 'usage, update') end`,
        who,
      ),
      [],
      who,
    );
    // Raw pages and what steers the load are not a reader's either.
    for (const table of ["stg_responses", "settings", "pipeline_steps", "schema_objects"]) {
      assert.equal(
        await sql.value("select has_table_privilege($1, 'p2p.' || $2, 'select')", who, table),
        false,
        `${who} ${table}`,
      );
    }
  }
  const callable = (who: string): Promise<Row[]> =>
    sql.rows(
      `select p.oid::regprocedure::text as name, p.provolatile as volatility, p.prosecdef as is_definer from pg_proc p
       where p.pronamespace = 'p2p'::regnamespace and has_function_privilege($1, p.oid, 'execute')`,
      who,
    );
  assert.deepEqual(await callable("public"), []);
  const readers = await callable("p2p_reader");
  assert.ok(readers.length > 5, "the functions of views and of the page");
  // The server itself lets no function write that is not volatile.
  assert.deepEqual(readers.filter((row) => row["volatility"] === "v" || row["is_definer"]), []);
});

Deno.test("objects in other schemas and of a session are never taken for ours", async (t) => {
  await using sql = await SqlFixture.create();
  await sql.loadBatch(undefined, { "VES/USDT BUY": [offer({ price: "0" }), offer()] });
  // As in a database made by PostgreSQL 14: everybody may create in public. What they make notes who ran it.
  await sql.rows("grant create on schema public to public");
  await sql.rows("grant usage on schema public to public");
  await using reader = new Database(urlAs("reader", sql.url), {
    applicationName: "test",
    connections: 1,
    isForPeople: true,
  });
  const plant = (statement: string) => reader.runScript(statement, 60);
  await plant(`
    create table public.taken (by_whom text, how text);
    grant all on public.taken to public;
    create function public.note(how text) returns void language plpgsql as
      $$ begin insert into public.taken values (session_user || ' as ' || current_user, how);
         exception when others then null; end $$;
  `);
  // Better matches than PostgreSQL's own: of the exact type, where that takes any.
  const rowTypes = [
    "quarantine",
    "batch_overview",
    "workers",
    "incidents",
    "rule_results",
    "coverage",
  ];
  for (const type of rowTypes) {
    await plant(`
      create function public.to_json(p2p.${type}) returns json language plpgsql as
        $$ begin perform public.note('to_json ${type}'); return '{}'; end $$;
      create function public.to_jsonb(p2p.${type}) returns jsonb language plpgsql as
        $$ begin perform public.note('to_jsonb ${type}'); return '{}'; end $$;
      create function public.row_to_json(p2p.${type}) returns json language plpgsql as
        $$ begin perform public.note('row_to_json ${type}'); return '{}'; end $$;
    `);
  }
  await plant(`
    create function public.note_json(json, json) returns json language plpgsql as
      $$ begin perform public.note('json_agg'); return $2; end $$;
    create aggregate public.json_agg(json) (sfunc = public.note_json, stype = json);
    create function public.to_char(timestamp, unknown_text varchar) returns text language plpgsql as
      $$ begin perform public.note('to_char'); return ''; end $$;
    create function public.setting_number(text) returns numeric language plpgsql as
      $$ begin perform public.note('setting_number'); return 1; end $$;
    create function public.equals(text, varchar) returns boolean language plpgsql as
      $$ begin perform public.note('='); return true; end $$;
    create operator public.= (leftarg = text, rightarg = varchar, function = public.equals);
    create function public.plus(integer, bigint) returns bigint language plpgsql as
      $$ begin perform public.note('+'); return 0; end $$;
    create operator public.+ (leftarg = integer, rightarg = bigint, function = public.plus);
    create view public.fact_offers as select 1 as trap, public.note('fact_offers')::text;
    create view public.ops_batch_runs as select 1 as trap, public.note('ops_batch_runs')::text;
  `);

  await t.step("the trap works for who walks into it", async () => {
    await sql.rows("select 1"); // as the owner, by the path that psql has
    await using person = new Database(sql.url, {
      applicationName: "test",
      connections: 1,
      isForPeople: true,
    });
    await person.run("select to_json(q) from p2p.batch_overview q", [], 60);
    const taken = await sql.rows("delete from public.taken returning how");
    assert.ok(taken.length > 0);
  });

  await t.step("the worker's statements, and those of the commands, do not", async () => {
    await using database = new Database(urlAs("worker", sql.url), {
      applicationName: "test",
      connections: 1,
    });
    const batch = await sql.openBatch({ markets: ["VES/USDT BUY"] });
    await batch.page("VES/USDT BUY", [offer()]);
    await batch.load();
    for (
      const statement of [
        "select coalesce(json_agg(to_json(q)), '[]')::text as document from p2p.quarantine as q",
        "select reason, to_char(first_batch at time zone 'UTC', 'YYYY-MM-DD') from p2p.quarantine",
        "select * from p2p.database_metrics()",
        "select * from p2p.audit_metrics()",
        "select * from p2p.diagnose(10)",
        "select p2p.page_overview(10)",
        "select p2p.page_markets()",
        "select p2p.status_report(5)",
      ]
    ) {
      await database.run(statement, [], 60);
    }
    assert.deepEqual(await sql.rows("select * from public.taken"), []);
  });

  await t.step("temporary tables of one's own session are not read for ours", async () => {
    await using database = new Database(urlAs("worker", sql.url), {
      applicationName: "test",
      connections: 1,
    });
    await database.run("create temp table settings (name text, value text)", [], 60);
    await database.run("create temp table ops_batch_runs (trap integer)", [], 60);
    await database.run("select p2p.setting_number('partitions_ahead_days')", [], 60);
    await database.run("select * from p2p.database_metrics()", [], 60);
  });

  await t.step("a reader cannot make the worker run a function of theirs", async () => {
    await plant(
      `create function public.step(uuid) returns void language plpgsql as $$ begin perform public.note('step'); end $$`,
    );
    for (
      const statement of [
        `insert into p2p.pipeline_steps (name, position, function, is_required, is_enabled, comment)
         values ('mine', 999, 'public.step', false, true, 'x')`,
        "update p2p.quality_rules set function = 'public.step'",
        "create or replace function p2p.load_dimensions(uuid) returns void language sql as 'select'",
        "create trigger mine after insert on p2p.fact_offers for each row execute function public.note()",
        "create rule mine as on insert to p2p.fact_offers do also select public.note('rule')",
        "alter role p2p_worker set search_path to public",
        "alter database current set search_path to public",
        "set role p2p_worker",
      ]
    ) {
      await assert.rejects(
        reader.run(statement, [], 60),
        /permission denied|must be owner|must have|does not exist|do(?:es)? not support rules/,
        statement,
      );
    }
  });
});

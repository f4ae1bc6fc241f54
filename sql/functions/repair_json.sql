-- Makes a document of JSON text that jsonb refuses though JSON allows it: \u0000 and lone surrogates become U+FFFD,
-- numbers with an exponent beyond what numeric holds become strings. Other digits and characters stay as they are.
-- Returns document NULL where that does not help. Changes nothing.
create or replace function p2p.repair_json(p_text text, out document jsonb, out alteration text)
language plpgsql
immutable
set search_path = p2p, pg_temp
as $function$
declare
  -- An escape counts only after an even number of backslashes: \\u0000 is a backslash and five characters.
  v_start constant text := '(?<!\\)((?:\\\\)*)';
  v_low constant text := '\\u[dD][c-fC-F][0-9a-fA-F]{2}';
  v_string constant text := '("(?:[^"\\]|\\.)*")';
  v_large_number constant text := '(-?\d+(?:\.\d+)?[eE][+-]?\d{4,})';
  v_mark constant text := E'\x01'; -- JSON has it only escaped
  v_text text := p_text;
begin
  v_text := regexp_replace(v_text, v_start || '\\u0000', '\1\\ufffd', 'g');
  -- Pairs are set aside as \U…, which JSON does not have, so that what is left stands alone.
  v_text := regexp_replace(v_text, v_start || '\\u(?=[dD][89abAB][0-9a-fA-F]{2}' || v_low || ')', '\1\\U', 'g');
  v_text := regexp_replace(v_text, v_start || '(\\U[0-9a-fA-F]{4})\\u', '\1\2\\L', 'g');
  v_text := regexp_replace(v_text, v_start || '\\u[dD][89a-fA-F][0-9a-fA-F]{2}', '\1\\ufffd', 'g');
  v_text := regexp_replace(v_text, v_start || '\\[UL](?=[dD][89a-fA-F][0-9a-fA-F]{2})', '\1\\u', 'g');

  alteration := case when v_text <> p_text then 'characters that jsonb cannot hold became U+FFFD' end;

  begin
    document := v_text::jsonb;
    return;
  exception when others then
    null;
  end;

  begin
    -- Strings are matched as well, so that what looks like a number inside one is left alone. The marks around
    -- what is no string become quotes.
    v_text := regexp_replace(v_text, v_string || '|' || v_large_number, '\1' || v_mark || '\2' || v_mark, 'g');
    document := replace(replace(v_text, v_mark || v_mark, ''), v_mark, '"')::jsonb;
    alteration := concat_ws('; ', alteration, 'numbers beyond the range of numeric became strings');
  exception when others then
    alteration := 'jsonb cannot hold it: ' || sqlerrm;
  end;
end
$function$;

comment on function p2p.repair_json(text) is 'Mends JSON text that jsonb cannot hold, as little as possible';

grant execute on function p2p.repair_json(text) to p2p_worker;

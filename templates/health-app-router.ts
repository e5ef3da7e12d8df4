// What a deploy asks before it goes on: is this process able to answer? Status 200 is yes, any other no.
// Keep it quick and free of caches; a release that fails here never goes live.

export const dynamic = 'force-dynamic';

export async function GET() {
  // The database too, if no page is worth anything without it. An error makes it 503.
  //   import { db } from '@/lib/db';
  //   try {
  //     await db.query('select 1');
  //   } catch {
  //     return Response.json({ status: 'no database' }, { status: 503 });
  //   }
  return Response.json({ status: 'ok' });
}

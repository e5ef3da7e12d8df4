// What a deploy asks before it goes on: is this process able to answer? Status 200 is yes, any other no.
// Keep it quick and free of caches; a release that fails here never goes live.
//#if ts
import type { NextApiRequest, NextApiResponse } from 'next';

export default async function handler(_request: NextApiRequest, response: NextApiResponse) {
//#end
//#if js

export default async function handler(_request, response) {
//#end
  // The database too, if no page is worth anything without it. An error makes it 503.
  //   import { db } from '@/lib/db';
  //   try {
  //     await db.query('select 1');
  //   } catch {
  //     return response.status(503).json({ status: 'no database' });
  //   }
  response.setHeader('Cache-Control', 'no-store');
  response.status(200).json({ status: 'ok' });
}

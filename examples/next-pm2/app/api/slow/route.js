// Answers after `ms` milliseconds, to see that a reload lets a request finish.
export const dynamic = 'force-dynamic';

export async function GET(request) {
  const asked = Number(new URL(request.url).searchParams.get('ms')) || 0;
  const ms = Math.min(Math.max(asked, 0), 30_000);
  await new Promise((resolve) => setTimeout(resolve, ms));
  return Response.json({ waited: ms, pid: process.pid });
}

export const revalidate = 2;

export default function Isr() {
  return (
    <main>
      <h1>Made at</h1>
      <p id="time">{new Date().toISOString()}</p>
    </main>
  );
}

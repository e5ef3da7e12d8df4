import './globals.css';

export const metadata = { title: 'next-pm2', description: 'A small app that shipit deploys' };

export default function Layout({ children }) {
  return (
    <html lang="en">
      <body>{children}</body>
    </html>
  );
}
